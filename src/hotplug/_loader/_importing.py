"""What an entry point's value names, and which modules came with it."""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from hotplug._lifecycle import name_and_text
from hotplug._loader._wall import behind_wall
from hotplug.errors import MissingDependencyError, PluginImportError, RestartRequired, close_match

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug._records import PluginRecord

__all__ = ["drop_modules", "import_target", "mentions", "modules_of", "resolve"]

_VALUE: Final = re.compile(r"(?P<module>[\w.]+)\s*(?::\s*(?P<attribute>[\w.]+))?\s*(?:\[.*\])?\s*$")


def resolve(record: PluginRecord, limit: float) -> object:
    """What the entry point's value names. Imports plugin code, for *limit* seconds at most."""
    return behind_wall(record, "import", lambda: import_target(record), limit)


def import_target(
    record: PluginRecord, importer: Callable[[str], object] = importlib.import_module
) -> object:
    """The same, in the caller's thread and for as long as it takes; *importer* imports its module."""
    match = _VALUE.match(record.value)
    if match is None:
        raise PluginImportError(
            f"its entry point {record.value!r} is not of the form 'module:attribute'",
            record,
            remedy="mend the entry point in its pyproject.toml",
        )
    target: object = _import_module(record, match["module"], importer)
    for name in (match["attribute"] or "").split("."):
        if name:
            target = _attribute(record, target, name)
    return target


def _import_module(record: PluginRecord, name: str, importer: Callable[[str], object]) -> object:
    try:
        return importer(name)
    except ModuleNotFoundError as error:
        missing = error.name
        if missing is None:  # the plugin says so itself
            raise PluginImportError(f"import raised {name_and_text(error)}", record) from error
        if name == missing or name.startswith(missing + "."):
            raise PluginImportError(
                f"its module {missing!r} is not there",
                record,
                remedy=f"install {record.distribution} again, or put its folder on sys.path",
            ) from error
        raise MissingDependencyError(
            missing, record, remedy=f"install what provides {missing!r}; {record.distribution} needs it"
        ) from error
    except SyntaxError as error:
        known = [str(part) for part in (error.filename, error.lineno) if part is not None]
        place = f" at {':'.join(known)}" if known else ""
        raise PluginImportError(f"import raised SyntaxError{place}: {error.msg}", record) from error
    except (KeyboardInterrupt, RestartRequired):
        raise
    except BaseException as error:  # border to plugin code
        raise PluginImportError(f"import raised {name_and_text(error)}", record) from error


def _attribute(record: PluginRecord, owner: object, name: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        where = getattr(owner, "__name__", type(owner).__name__)
        known = vars(owner) if hasattr(owner, "__dict__") else ()
        raise PluginImportError(
            f"{where} has no attribute {name!r} ({close_match(name, known)})",
            record,
            remedy="mend the entry point in its pyproject.toml",
        ) from error


def mentions(record: PluginRecord, word: str) -> bool:
    """
    Whether the source of the plugin's module holds *word*, as far as can be told without importing it.

    True where there is no source to look at: then only importing can tell.
    """
    module = record.value.partition(":")[0].strip().replace(".", os.sep)
    for folder in (os.path.dirname(record.path), *sys.path):  # noqa: PTH120 - most are no Path's business
        for ending in (".py", os.sep + "__init__.py"):
            try:
                with open(os.path.join(folder, module + ending), "rb") as source:  # noqa: PTH118, PTH123
                    return word.encode() in source.read()
            except OSError:
                continue
    return True


# -- modules ---------------------------------------------------------------------------------------


def modules_of(record: PluginRecord) -> list[str]:
    """
    The names of the imported modules that are this plugin's own: its package, below any namespace.

    None where the entry point names somebody else's: hotplug's, or the standard library's.
    """
    root = ""
    for part in record.value.partition(":")[0].strip().split("."):
        root = f"{root}.{part}".lstrip(".")
        module = sys.modules.get(root)
        if module is None or _fact(module, "__file__") is not None:
            break
    if root.partition(".")[0] in _NEVER_A_PLUGINS:
        return []
    return [name for name in list(sys.modules) if name == root or name.startswith(root + ".")]


_NEVER_A_PLUGINS: Final = sys.stdlib_module_names | {"hotplug"}


def drop_modules(record: PluginRecord) -> None:
    """Drop the modules of a plugin, so that a later install is imported anew."""
    for name in modules_of(record):
        sys.modules.pop(name, None)  # plugin code may drop some itself
    importlib.invalidate_caches()


def _fact(module: object, name: str) -> Any:
    """An attribute of what stands in ``sys.modules``: a plugin may have put anything there."""
    try:
        return getattr(module, name, None)
    except Exception:  # noqa: BLE001 - border to plugin code
        return None
