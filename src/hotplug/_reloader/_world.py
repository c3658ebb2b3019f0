"""
The modules of one generation, and how its own code imports.

    name ──▶ ours?                 this world's module, made from the text that was read
             a pinned one's?       the module of the world that was pinned
             above ours?           a view of the shared namespace that shows our part of it
             another one's?        the module of that one's world, which is pinned by that
             anybody else's        the ordinary import

Each function of a module keeps the builtins that its module began with, and with them the ``__import__``
of its world: so old code goes on importing its own old modules, and keeps the world alive as long as it
lives itself, no longer.
"""

from __future__ import annotations

import builtins
import contextvars
import functools
import importlib
import importlib.util
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol

from hotplug._reloader._facade import Namespace, StagedPackage, View, facade_of_importlib
from hotplug._reloader._finding import Finder
from hotplug._reloader._ledger import Ledger
from hotplug._reloader._leftovers import kind_of
from hotplug._reloader._making import MISSING, Making
from hotplug._reloader._names import absolute, under
from hotplug._reloader._places import Footing, Places
from hotplug._reloader._router import staging
from hotplug._reloader._sources import SourceLoader
from hotplug._reloader._tracebacks import without_us
from hotplug._reloader._wires import unnoted

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping

    from hotplug._reloader._native import Natives
    from hotplug._reloader._sources import Code, Ground, Sources

__all__ = ["Pin", "World"]


class Pin(Protocol):
    """Another distribution, whose generation is settled when it is first used."""

    def world_for(self, name: str) -> World | None:
        """Its world, if it owns the module *name*."""
        ...


class Shared(Protocol):
    """What all worlds of a distribution share."""

    @property
    def codes(self) -> Code: ...
    @property
    def natives(self) -> Natives: ...
    @property
    def guard(self) -> threading.RLock: ...
    def rightful(self, world: World, name: str) -> object: ...


class World:
    """The modules of one generation. Thread-safe as imports are."""

    def __init__(
        self,
        ground: Ground,
        sources: Sources,
        line: Shared,
        pins: Mapping[str, Pin],
        number: int,
        *,
        others: Callable[[str], tuple[str, Pin] | None] = lambda _: None,
        bytecode: bool = False,
    ) -> None:
        self.ground: Final = ground
        self.sources: Final = sources
        self.number: Final = number
        self.places: Final = Places(line.guard, functools.partial(line.rightful, self))
        self.modules: Final = self.places.modules
        self.finder: Final = Finder(ground, sources, line.codes, number, bytecode=bytecode)
        self.uses: Final[set[str]] = set()
        self.expected: frozenset[str] = frozenset()
        self.has_adopted: bool = False
        """Whether some of its modules were imported by others, from text that nobody knows."""
        self.ledger: Final = Ledger(self)
        self.builtins: Final[dict[str, Any]] = {**vars(builtins), "__import__": self._import}
        self._line: Final = line
        self._pins = pins
        self._others: Final = others
        self._tops: Final = set(sources.tops)
        self._homes: Final[dict[str, World | None]] = {}
        self._importlib: Final = facade_of_importlib(self)
        self._making: Final[dict[str, Making]] = {}
        self._globals: Final[set[int]] = set()

    # -- what is ours ------------------------------------------------------------------------------

    @property
    def footing(self) -> Footing:
        """How it stands to ``sys.modules``."""
        return self.places.footing

    @property
    def importer(self) -> Callable[..., Any]:
        """Its own ``__import__``."""
        return self._import

    def is_mine(self, module: object) -> bool:
        """Whether *module* is one of ours."""
        return any(each is module for each in list(self.modules.values()))

    def has_globals(self, globals_: Mapping[str, object]) -> bool:
        """Whether code with these globals is ours."""
        return globals_.get("__builtins__") is self.builtins or id(globals_) in self._globals

    def is_own(self, thing: Any) -> bool:
        """Whether *thing* is a function or class of ours, or an object of such a class; never by its name."""
        while type(thing) in _WRAPPERS:
            thing = thing.__func__ if type(thing) is MethodType else thing.func
        kind = kind_of(thing)  # never isinstance: some answer that with code of their own
        if kind is FunctionType:
            return self.has_globals(thing.__globals__)
        return self.is_own_class(thing if issubclass(kind, type) else kind)

    def is_own_class(self, cls: type) -> bool:
        """Whether *cls*, or one that it inherits from, was made by our code."""
        return any(map(self._made, cls.__mro__))

    def _made(self, cls: type) -> bool:
        module = vars(cls).get("__module__")
        if type(module) is not str or not self.owns(module):
            return False  # somebody's class, that may have been given a function of ours
        for member in list(vars(cls).values()):
            function = member.__func__ if type(member) in (staticmethod, classmethod) else member
            if type(function) is FunctionType and self.has_globals(function.__globals__):
                return True
        return under(self.modules.get(module) or self.places.failed.get(module), cls.__qualname__) is cls

    def learn_top(self, name: str) -> None:
        """The first word of *name* may be ours, though no source says so."""
        self._tops.add(name.partition(".")[0])

    def owns(self, name: str) -> bool:
        """Whether the module *name* is ours alone."""
        return name in self.sources.by_name or (
            name.partition(".")[0] in self._tops and self.ground.owns(name)
        )

    def adopt(self, names: Iterable[str]) -> None:
        """Take what was imported already for ours, as it is."""
        for name in names:
            module: Any = sys.modules.get(name)
            if module is None or not self.owns(name):
                continue
            if not getattr(getattr(module, "__spec__", None), "_initializing", False):
                self.modules[name] = module
                self.has_adopted = True
                self._line.natives.adopt(module)
                self._globals.add(id(getattr(module, "__dict__", None)))

    # -- importing ---------------------------------------------------------------------------------

    def import_module(self, name: str) -> Any:
        """The module *name*, as code of ours gets it."""
        home = self._home(name)
        if home is None:
            return self._as_we_see_it(unnoted(importlib.import_module, name))
        return home.load(name)

    def _home(self, name: str) -> World | None:
        """Whose the module *name* is; None if the ordinary import finds it."""
        try:
            return self._homes[name]
        except KeyError:
            home = self._homes[name] = self._find_home(name)
            return home

    def _find_home(self, name: str) -> World | None:
        if self.owns(name):
            return self
        for distribution, pin in self._pins.items():
            if (world := pin.world_for(name)) is not None:
                self.uses.add(distribution)
                return world
        if name in self.sources.inner:
            return self
        found = self._found_with_others(name)
        if found is None and self._line.rightful(self, name) is not MISSING:
            return self  # it was the one's before, and is nobody's now: what stands under the name is old
        return found

    def _found_with_others(self, name: str) -> World | None:
        """The world of a distribution that we are not pinned to: from now on we are."""
        found = self._others(name)
        if found is None or (world := found[1].world_for(name)) is None:
            return None
        distribution, pin = found
        self._pins = {**self._pins, distribution: pin}
        self.uses.add(distribution)
        return world

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Iterable[str] | None = (),
        level: int = 0,
    ) -> Any:
        """What the import statement calls: as `builtins.__import__`."""
        whole = name
        if level:
            whole = absolute(name, globals or {}, level)
        home = self._home(whole)
        if home is None:
            return self._ordinary(name, globals, locals, fromlist, level)
        module = home.load(whole)
        if fromlist:
            if hasattr(module, "__path__"):
                self._see_to(module, getattr(module, "__name__", whole), fromlist)
            return module
        if level and not name:
            return module
        cut = len(name) - len(name.partition(".")[0])
        return home.load(whole[: len(whole) - cut]) if cut else module

    def _ordinary(
        self,
        name: str,
        globals_: Mapping[str, Any] | None,
        locals_: Mapping[str, Any] | None,
        fromlist: Iterable[str] | None,
        level: int,
    ) -> Any:
        """What is not ours is imported as ever, and what it registers is not ours either."""
        found = unnoted(builtins.__import__, name, globals_, locals_, fromlist or (), level)
        return self._as_we_see_it(found)

    def _as_we_see_it(self, module: Any) -> Any:
        """What code of ours gets in the place of an ordinary *module*."""
        if module is importlib:
            return self._importlib
        view = self.places.views.get(getattr(module, "__name__", ""))
        return module if view is None else view

    def _see_to(self, module: Any, name: str, wanted: Iterable[Any], *, listed: bool = False) -> None:
        """Import the submodules of *module* among what is *wanted* of it."""
        for word in wanted:
            if not isinstance(word, str):
                where = f"{name}.__all__" if listed else "``from list''"
                raise TypeError(f"Item in {where} must be str, not {type(word).__name__}")
            if word == "*":
                if not listed and hasattr(module, "__all__"):
                    self._see_to(module, name, module.__all__, listed=True)
            elif not hasattr(module, word):
                self._see_to_child(module, name, word)

    def _see_to_child(self, module: Any, name: str, word: str) -> None:
        child = f"{name}.{word}"
        try:
            self.import_module(child)
        except ModuleNotFoundError as error:
            if error.name != child:
                raise
        home = self._home(child)
        standing = sys.modules.get(child)
        if standing is None or home is None or standing is home.modules.get(child) or hasattr(module, word):
            return
        # Python would look there now, and find that of another generation.
        file = getattr(module, "__file__", None)
        why = f"cannot import name {word!r} from {name!r} ({file or 'unknown location'})"
        raise ImportError(why, name=name, path=file)

    # -- making ------------------------------------------------------------------------------------

    def load(self, name: str) -> Any:
        """The module *name* of ours: made if it is not yet, taken as far as it is by who helps to make it."""
        if name not in self.modules and (view := self._view(name)) is not None:
            return view
        while True:
            making = self._making.get(name)
            if making is None:
                found = self.modules.get(name, MISSING)
                if found is not MISSING:
                    if name in self._making:
                        continue  # it was begun between the two looks
                    return found
                self._load_parent(name)
                making = Making()
                if self._making.setdefault(name, making) is making:
                    return self._make(name, making)
            elif making.is_mine or not making.wait() or self.footing is Footing.REFUSED:
                return self._as_far_as_it_is(name)

    def _as_far_as_it_is(self, name: str) -> Any:
        try:
            return self.modules[name]
        except KeyError:
            why = "its generation was given up" if self.footing is Footing.REFUSED else "it needs itself"
            raise ImportError(f"{name} is not imported: {why}", name=name) from None

    def _view(self, name: str) -> View | None:
        """A shared namespace above ours, as our code sees it; None if it is not one."""
        views = self.places.views
        if name in views:
            return views[name]
        if name not in self.sources.inner or self.ground.owns(name):
            return None
        try:
            real = unnoted(importlib.import_module, name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            return None  # its folder is not on the path: the namespace is all ours
        if self._line.rightful(self, name) is real:
            return None  # as it was the one's before
        parent, _, word = name.rpartition(".")
        above = self.load(parent) if parent else None
        view = views.setdefault(name, Namespace(real, self))
        if isinstance(above, View):
            above.show(word, view)
        return view

    def _load_parent(self, name: str) -> None:
        parent = name.rpartition(".")[0]
        if not parent:
            return
        above = self.modules.get(parent)  # as far as it is: its children do not wait for it
        if not hasattr(self.import_module(parent) if above is None else above, "__path__"):
            raise ModuleNotFoundError(f"No module named {name!r}; {parent!r} is not a package", name=name)

    def _make(self, name: str, making: Making) -> Any:
        """Find, make and run the module *name*; *making* stands in the table."""
        try:
            if name in self.modules:  # made while we asked
                return self.modules[name]
            spec = self._find(name)
            module = self._new_module(name, spec)
            self.places.begin(name, module, making)
            try:
                self._run(module, spec)
                return self.places.finish(name, module, making)
            except BaseException as error:  # border to plugin code
                self.places.give_up(name, module, making)
                error.__traceback__ = without_us(error.__traceback__)
                raise
        finally:
            del self._making[name]
            making.over()

    def _new_module(self, name: str, spec: ModuleSpec) -> Any:
        if isinstance(spec.loader, ExtensionFileLoader):
            shared = self._line.natives.shared(name, spec.loader.path)
            return importlib.util.module_from_spec(spec) if shared is None else shared
        module: Any = importlib.util.module_from_spec(spec)
        if isinstance(module, ModuleType):  # a loader may make what it likes
            vars(module)["__builtins__"] = self.builtins
            if self._others_may_look_for_more(spec) and type(module) is ModuleType:
                module.__class__ = StagedPackage
        return module

    def _others_may_look_for_more(self, spec: ModuleSpec) -> bool:
        """Whether it is a package that takes the place of one with submodules, before those have come."""
        is_package = spec.submodule_search_locations is not None
        return is_package and bool(self.expected) and self.footing is Footing.BESIDE

    def _run(self, module: Any, spec: ModuleSpec) -> None:
        if self.ledger.is_noting:
            self._run_here(module, spec)
        else:  # what it sets in the context is gone with it
            contextvars.copy_context().run(self._run_noted, module, spec)

    def _run_noted(self, module: Any, spec: ModuleSpec) -> None:
        with self.ledger.noting():
            self._run_here(module, spec)

    def _run_here(self, module: Any, spec: ModuleSpec) -> None:
        if isinstance(spec.loader, SourceLoader):
            exec(spec.loader.get_code(spec.name), module.__dict__)  # noqa: S102 - that is what importing is
        elif isinstance(spec.loader, ExtensionFileLoader):
            self._line.natives.run(module, spec.loader)
        elif spec.loader is None:
            raise ImportError("missing loader", name=spec.name)
        else:
            spec.loader.exec_module(module)

    def _find(self, name: str) -> ModuleSpec:
        parent = self.modules.get(name.rpartition(".")[0])
        return self.finder.find(name, parent, may_read=self.footing is not Footing.PASSED)

    def give_back(self) -> None:
        """Put back what stood in ``sys.modules`` before, and make nothing any more; who waits need not."""
        self.places.give_back()
        for making in list(self._making.values()):
            making.over()

    def spec_for(self, name: str) -> ModuleSpec | None:
        """How the module *name* is loaded for others; None if it is not ours, or not there."""
        home = self._homes.get(name, self) if staging.get() is self else self
        if home is not self:
            return None if home is None else home.spec_for(name)
        if not self.owns(name) or self.footing is Footing.REFUSED:
            return None
        try:
            return self._find(name)
        except ImportError:
            return None


_WRAPPERS: Final = frozenset({MethodType, functools.partial})
