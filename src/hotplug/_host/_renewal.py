"""The next generations of some distributions, beside those that run."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any, Final

from hotplug._host._policy import normal_name
from hotplug._loader import behind_wall, import_target
from hotplug.errors import HostError, RestartRequired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hotplug._host._code import Code
    from hotplug._host._codes import Codes
    from hotplug._host._owners import Owners
    from hotplug._host._policy import Seat
    from hotplug._records import PluginRecord
    from hotplug._reloader import Generation

__all__ = ["Renewal"]


class Renewal:
    """The next generations of some distributions, by name, each after what it needs."""

    def __init__(self, codes: Codes) -> None:
        self._codes: Final = codes
        self._by_name: Final[dict[str, Code]] = {}
        self._staged: list[Generation] = []
        self._entries: Mapping[str, Sequence[PluginRecord]] = {}
        self._limit = 0.0
        self._failure: BaseException | None = None
        self._is_over = False
        self.files: Final[dict[str, tuple[str, ...]]] = {}
        """Which files say something else than in the generation before, of those that were staged."""

    def of(self, record: PluginRecord) -> Code | None:
        """The next code of *record*'s distribution, if it is renewed here."""
        return self._by_name.get(normal_name(record.distribution))

    @property
    def codes(self) -> tuple[Code, ...]:
        """All of them."""
        return tuple(self._by_name.values())

    def add(self, code: Code) -> None:
        """*code*, after what it needs."""
        self._by_name[code.name] = code

    @property
    def owner_of(self) -> Callable[[str], tuple[str, Generation] | None]:
        """
        As `Owners.of`, but of those that are renewed here the next one, as long as they are.

        It is staged now where it was not yet: these need each other. Keeps no renewal alive.
        """
        return functools.partial(_owner_of, self._codes.owners, weakref.ref(self))

    def next_of(self, distribution: str) -> Generation | None:
        """The next generation of *distribution*, staged now where it was not yet; None if there is none."""
        code = None if self._is_over else self._by_name.get(distribution)
        if code is None:
            return None
        try:
            self._stage(code)
        except BaseException as error:
            self._failure = error  # whatever becomes of it there
            raise
        return code.generation

    def stage(self, seats: Iterable[Seat], limit: float) -> None:
        """
        Import them beside those that run, beginning with what *seats* name, for *limit* seconds each.

        Raises `PluginError`: then `discard` puts everything back.
        """
        entries: dict[str, list[PluginRecord]] = {}
        for seat in seats:
            if seat.may_load:
                record = seat.status.record
                entries.setdefault(normal_name(record.distribution), []).append(record)
        self._entries, self._limit = entries, limit
        for code in self.codes:
            self._stage(code)
        self._refuse_if_over()
        if self._failure is not None:
            raise self._failure

    def _refuse_if_over(self) -> None:
        if self._is_over:  # who waited for it was interrupted, or had no more time
            raise HostError("the reload was given up")

    def _stage(self, code: Code) -> None:
        self._refuse_if_over()
        before = code.before
        if code.generation is not None or before is None or not before.is_loaded:
            return  # staged already; or begun when somebody asks for it, as ever
        generation = code.next_to(before.begun())
        if generation is None:
            raise RestartRequired("nobody can tell which files are its code", code.record)
        self._staged.append(generation)
        self._refuse_if_over()  # it was put into the list too late, perhaps
        code.generation = generation
        sources = generation.sources
        self.files[code.name] = tuple(sorted(sources.changed | sources.gone))
        records = self._entries.get(code.name, ())
        modules = tuple(dict.fromkeys(each.value.partition(":")[0].strip() for each in records))

        def importer(wanted: str) -> Any:
            generation.stage(modules)
            return generation.import_module(wanted)

        if records:
            record = records[0]
            behind_wall(record, "import", lambda: import_target(record, importer), self._limit)
        else:
            behind_wall(code.record, "import", functools.partial(generation.stage, ()), self._limit)

    def publish(self) -> list[Code]:
        """Everybody imports them from now on; those that they replaced."""
        for generation in self._staged:
            generation.publish()
        self._codes.take_place(self._by_name)
        self._is_over = True
        olds: list[Code] = []
        for code in self.codes:
            if code.generation in self._staged and code.before is not None:
                olds.append(code.before)
                code.before = None
        return olds

    def discard(self) -> None:
        """Everything is as it was."""
        self._is_over = True
        for generation in reversed(self._staged):
            generation.discard()


def _owner_of(owners: Owners, renewal: weakref.ref[Renewal], module: str) -> tuple[str, Generation] | None:
    found, mates = owners.of(module), renewal()
    following = None if found is None or mates is None else mates.next_of(found[0])
    return found if found is None or following is None else (found[0], following)
