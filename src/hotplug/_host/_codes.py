"""
Which generation of its code each distribution has in this process, and who works with whose.

    Code      one generation of one distribution; begun when something is first imported from it
    Codes     the present one of each
    Renewal   the next ones of several distributions, staged beside: published all, or discarded all
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from hotplug import _discovery
from hotplug._host._code import Code
from hotplug._host._owners import Owners
from hotplug._host._policy import normal_name
from hotplug._host._relations import Relations
from hotplug._host._renewal import Renewal
from hotplug._host._shared import Shared
from hotplug._loader import drop_modules
from hotplug.errors import CircularFactoryError, PluginError, RestartRequired

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from hotplug._discovery import Territory
    from hotplug._host._plugin import Plugin
    from hotplug._records import PluginRecord
    from hotplug._reloader import Generation, Leftovers

__all__ = ["Codes"]

_log = logging.getLogger("hotplug.host")


class Codes:
    """The present code of each distribution. Changed by one verb at a time; read by any thread."""

    def __init__(self, problem: Callable[[PluginRecord, Leftovers], None]) -> None:
        self._guard: Final = threading.Lock()
        self._present: dict[str, Code] = {}
        self._last: dict[str, Code] = {}
        self._numbers: dict[str, int] = {}
        self._problem: Final = problem
        self.family: Final = object()
        """Who is told of generations of these that live on: not other hosts."""
        self.is_over: bool = False
        """Whether the host is closed: nobody looks after what is imported from now on."""
        self._grounds: dict[tuple[PluginRecord, tuple[object, ...]], Territory] = {}
        self._along: Final[dict[Plugin, list[Code]]] = {}
        self.relations: Final = Relations()
        self.shared: Final = Shared()
        self.owners: Final = Owners(self)

    def know(self, records: Iterable[PluginRecord], path: Sequence[str] | None, *, fresh: bool) -> None:
        """These are the plugins that there are; not *fresh*, all else is as it was."""
        self.relations.know(records, path, fresh=fresh)
        if fresh:
            self._grounds = {}

    def ground(self, record: PluginRecord) -> Territory:
        """Which code belongs to *record*'s distribution, as far as the last look at the environment tells."""
        key = record, _discovery.stamp(record)  # the same version may have come again, with other modules
        found = self._grounds.get(key)
        if found is None:
            found = self._grounds[key] = _discovery.territory(record)
        return found

    def of(self, record: PluginRecord) -> Code:
        """The present code of *record*'s distribution."""
        name = normal_name(record.distribution)
        with self._guard:
            code = self._present.get(name)
            if code is None or _place(code.record) != _place(record):
                code = self._present[name] = self._new(record)
            return code

    def present(self, distribution: str) -> Code | None:
        """The present code of that distribution, if anything of it was ever asked for."""
        return self._present.get(normal_name(distribution))

    @property
    def everyone(self) -> tuple[Code, ...]:
        """The present code of all distributions of which anything was ever asked for."""
        with self._guard:
            return tuple(self._present.values())

    def _new(self, record: PluginRecord) -> Code:
        """A code that nobody imported from yet, in the place of one that nobody works with, or none."""
        name = normal_name(record.distribution)
        code = Code(record, self._next_number(name), self._last.get(name), self._pins, self)
        self._last[name] = code
        return code

    def _next_number(self, name: str) -> int:
        """One that no generation of *name* had that was imported from."""
        last = self._last.get(name)
        return self._numbers.get(name, 1) if last is None else last.number + last.is_loaded

    def _pins(self, record: PluginRecord) -> Mapping[str, Generation]:
        """The generations of what *record*'s distribution requires, itself or through others."""
        self.shared.remember(self.relations.shared(record.distribution), self.relations.path)
        pins: dict[str, Generation] = {}
        for needed in self.relations.needs(record.distribution):
            try:
                generation = self.of(needed).begun()
            except CircularFactoryError:  # it needs us as well, and imports us as anybody would
                continue
            if generation is not None:
                pins[normal_name(needed.distribution)] = generation
        return pins

    def is_loaded(self, distribution: str) -> bool:
        """Whether code of it runs in this process."""
        code = self.present(distribution)
        return code is not None and code.is_loaded

    def is_followed(self, distribution: str) -> bool:
        """Whether its code is edited where it lies."""
        code = self.present(distribution)
        return code is not None and self.ground(code.record).sort != "installed"

    def was_installed(self, distribution: str) -> bool:
        """Whether what runs of it was installed: what comes in its place is another installation."""
        code = self.present(distribution)
        generation = None if code is None else code.generation
        return generation is not None and generation.territory.sort == "installed"

    def begin_again(self, distributions: Iterable[str]) -> None:
        """Of *distributions* nothing works: who asks for them next finds what is there by then."""
        for name in distributions:
            code = self.present(name)
            generation = None if code is None else code.generation
            if code is not None and generation is not None and generation.is_vain:
                code.begin_again()

    @property
    def adopted(self) -> set[str]:
        """The distributions of which something runs that was imported by somebody else, before any host."""
        loaded = {name: code for name, code in self._present.copy().items() if code.is_loaded}
        return {
            name
            for name, code in loaded.items()
            if (generation := code.generation) is None or generation.has_adopted
        }

    @property
    def vanished(self) -> list[str]:
        """Those whose code runs, and is not where it was edited: moved away, or being checked out."""
        loaded = [code for code in self.everyone if self.is_text_known(code.name)]
        followed = [code for code in loaded if not self.was_installed(code.name)]
        return [code.name for code in followed if not self.ground(code.record).roots]

    def is_text_known(self, distribution: str) -> bool:
        """Whether what runs of it was read here, so that an edit of it can be told."""
        code = self.present(distribution)
        return code is not None and code.generation is not None and code.is_loaded

    def edited(self, distributions: Iterable[str]) -> tuple[list[str], list[str]]:
        """
        Those of *distributions* whose code says something else than when it was read; and those not read.

        What is read meanwhile, by who uses it first, is compared: it may have been read before an edit.
        """
        edited: list[str] = []
        unread = {*map(normal_name, distributions)}
        while known := set(filter(self.is_text_known, unread)):
            edited += filter(self._is_edited, sorted(known))
            unread -= known
        present = [self._present[name] for name in unread if name in self._present]
        adopted = {code.name for code in present if code.generation is None and code.is_loaded}
        return edited, sorted(unread - adopted)

    def _is_edited(self, name: str) -> bool:
        code = self._present.get(name)
        generation = None if code is None else code.generation
        try:
            candidate = None if code is None or generation is None else code.next_to(generation)
        except PluginError:
            return False  # an installer is at work: what it leaves is followed
        return candidate is not None and bool(candidate.changed)

    def refuse_what_is_shared(self, distributions: Iterable[str]) -> None:
        """Raise `RestartRequired` where one of *distributions* requires what is another by now."""
        known = self.relations.records
        for name in map(normal_name, distributions):
            if name in known and (why := self.changed_below(name)):
                raise RestartRequired(why, known[name])

    def changed_below(self, distribution: str) -> str:
        """What *distribution* requires, shares with others, and is another by now; empty if nothing is."""
        if not self.is_loaded(distribution):
            return ""
        return self.shared.changed(self.relations.shared(distribution), self.relations.path)

    # -- who depends on whom -----------------------------------------------------------------------

    def followers(self, distributions: Iterable[str]) -> tuple[str, ...]:
        """Those and all that depend on them, whatever depends on another after that one."""
        used = {
            name: code.generation.uses for name, code in self._present.items() if code.generation is not None
        }
        return self.relations.followers(distributions, used)

    def groups(
        self, distributions: Iterable[str], names: Mapping[str, Collection[str]]
    ) -> list[tuple[str, ...]]:
        """
        *distributions* with all that depends on them, in groups that do not touch each other.

        Those touch, too, of whose *names* in registries (before or after) one is the same.
        """
        groups: list[tuple[set[str], set[str]]] = []
        for distribution in sorted(distributions):
            mine = set(self.followers([distribution]))
            keys = {key for name in mine for key in names.get(name, ())}
            near = [group for group in groups if group[0] & mine or group[1] & keys]
            groups = [group for group in groups if group not in near]
            groups.append((mine.union(*(each for each, _ in near)), keys.union(*(each for _, each in near))))
        return [self.followers(group) for group, _ in groups]

    # -- renewing ----------------------------------------------------------------------------------

    def renewal(self, distributions: Iterable[str]) -> Renewal:
        """The next generations of *distributions*, each of them after what it needs."""
        renewal = Renewal(self)
        known = self.relations.records
        records = [known[name] for name in map(normal_name, distributions) if name in known]

        def pins(record: PluginRecord) -> Mapping[str, Generation]:
            codes = {code.name: code for code in renewal.codes}
            found = dict(self._pins_of_others(record, codes))
            found.update(
                (name, code.generation)
                for name, code in codes.items()
                if code.generation is not None and name != normal_name(record.distribution)
            )
            return found

        for record in records:
            name = normal_name(record.distribution)
            present = self._present.get(name)
            if present is None or not present.is_loaded:
                number = self._next_number(name)
                renewal.add(Code(record, number, self._last.get(name), self._pins, self))
            else:
                renewal.add(Code(record, present.number + 1, present, pins, self, renewal.owner_of))
        return renewal

    def _pins_of_others(self, record: PluginRecord, renewed: Mapping[str, Code]) -> Mapping[str, Generation]:
        needs = [
            each
            for each in self.relations.needs(record.distribution)
            if normal_name(each.distribution) not in renewed
        ]
        begun = ((normal_name(each.distribution), self.of(each).begun()) for each in needs)
        return {name: generation for name, generation in begun if generation is not None}

    def take_place(self, codes: Mapping[str, Code]) -> None:
        """*codes* are the present ones from now on."""
        with self._guard:
            self._present.update(codes)
            self._last.update(codes)

    def end(self) -> None:
        """The host is closed: what was imported stays, as ever."""
        self.is_over = True
        with self._guard:
            codes: list[Code | None] = [*self._present.values(), *self._last.values()]
        for code in codes:
            while code is not None:  # of what came again before the one before was over, both
                if code.generation is not None:
                    code.generation.release()
                code = code.before

    # -- ending ------------------------------------------------------------------------------------

    def forget(self, distribution: str) -> None:
        """It is not installed any more: who asks for it again begins anew."""
        with self._guard:
            self._present.pop(normal_name(distribution), None)

    def hold(self, code: Code, user: object) -> None:
        """*user* works with *code*."""
        with self._guard:
            code.users.add(user)

    def replaced(
        self, olds: Iterable[Code], users: Sequence[Plugin], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Others took the places of *olds*: those of which no plugin is go with *users*, who need them."""
        for old in olds:
            if old.users:
                continue
            for user in users:
                self.hold(old, user)
                self._along.setdefault(user, []).append(old)
            if not users:
                self.let_go(old, old, loop)

    def plugin_is_over(self, plugin: Plugin, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of all that *plugin* was made of, and worked with."""
        for code in (plugin.code, *self._along.pop(plugin, ())):
            self.let_go(code, plugin, loop)

    def leave(self, code: Code, user: object, loop: asyncio.AbstractEventLoop) -> None:
        """*user* is over; with the last one the code is, too, be it the present one or not."""
        with self._guard:
            code.users.discard(user)
            if not code.users and self._present.get(code.name) is code:
                del self._present[code.name]
        self.let_go(code, user, loop)

    def let_go(self, code: Code | None, user: object, loop: asyncio.AbstractEventLoop) -> None:
        """*user* is over; with the last one of what is not present any more, the code is, too."""
        if code is None:
            return
        has_run = code.is_loaded
        with self._guard:
            code.users.discard(user)
            if code.users or self._present.get(code.name) is code:
                return
            if self._last.get(code.name) is code:
                self._numbers[code.name] = code.number + has_run
        left = code.retire(loop)
        with self._guard:  # who comes meanwhile comes after it
            is_last = self._last.get(code.name) is code
            if is_last:
                del self._last[code.name]
        if is_last:
            drop_modules(code.record)  # what it put under its names by itself
        if left:
            facts = code.record.distribution, code.record.version, left
            _log.warning("%s %s: %s", *facts, extra={"told": True})
            self._problem(code.record, left)


def _place(record: PluginRecord) -> tuple[str, str]:
    return record.path, record.version
