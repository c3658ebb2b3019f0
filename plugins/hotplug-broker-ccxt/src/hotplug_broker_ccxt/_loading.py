"""
Importing ccxt: late, and only the one exchange that is wanted.

``import ccxt`` executes the modules of all exchanges, sync and async: 3 s and 118 MB on the machine it was
measured on; one of them takes 0.6 s and 65 MB. So ccxt's packages are entered into ``sys.modules``
unexecuted; who asks them for what they do not have yet (``ccxt.kraken``) has them executed then.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final, cast

from hotplug.errors import close_match

__all__ = ["exchange_class", "exchange_names", "require_exchange"]

_PACKAGES: Final = ("ccxt", "ccxt.async_support")


@cache
def exchange_names() -> frozenset[str]:
    """Every exchange that the installed ccxt knows; imports nothing. `ModuleNotFoundError` without ccxt."""
    spec = find_spec("ccxt")
    if spec is None:
        raise ModuleNotFoundError("ccxt is not installed", name="ccxt")
    folders = [Path(folder) / "async_support" for folder in spec.submodule_search_locations or ()]
    return frozenset(
        file.stem for folder in folders for file in folder.glob("*.py") if not file.stem.startswith("_")
    )


def require_exchange(name: str) -> None:
    """Raise `ValueError` for an exchange that ccxt does not know, naming a close one."""
    if name not in exchange_names():
        raise ValueError(f"ccxt has no exchange {name!r} ({close_match(name, exchange_names())})")


@cache
def exchange_class(name: str) -> type[Any]:
    """The asynchronous ccxt class of an exchange. Takes a second the first time: call it in a thread."""
    require_exchange(name)
    for package in _PACKAGES:
        if package not in sys.modules:
            sys.modules[package] = _unexecuted(package)
    module = importlib.import_module(f"ccxt.async_support.{name}")
    _show_classes()
    return cast("type[Any]", getattr(module, name))


def _unexecuted(package: str) -> ModuleType:
    """A package that executes itself when it is asked for what it does not have."""
    spec = find_spec(package)
    assert spec is not None  # noqa: S101 - exchange_names() looked
    module = module_from_spec(spec)
    # With the package's own globals: nothing of this module may live on in ccxt when it is reloaded.
    vars(module)["__getattr__"] = FunctionType(_execute.__code__, vars(module), "__getattr__")
    return module


def _execute(name: str) -> Any:
    """``__getattr__`` of an unexecuted package: runs with its globals, so all names here are its own."""
    import importlib
    import sys
    import threading

    # What ccxt's own modules ask their package for while they are imported.
    for early in ("ccxt.base.errors", "ccxt.base.exchange"):
        module = importlib.import_module(early)
        if name in module.__all__:
            return getattr(module, name)
    package = sys.modules[__name__]
    with vars(package).setdefault("__executing__", threading.RLock()):
        if vars(package).pop("__getattr__", None) is not None:
            package.__spec__.loader.exec_module(package)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    return getattr(package, name)


def _show_classes() -> None:
    """Importing a submodule left it under its name; ccxt's packages have the class of that name there."""
    package = sys.modules["ccxt.async_support"]
    for each, value in tuple(vars(package).items()):
        if isinstance(value, ModuleType) and hasattr(value, each):
            setattr(package, each, getattr(value, each))
    vars(sys.modules["ccxt"])["async_support"] = package
