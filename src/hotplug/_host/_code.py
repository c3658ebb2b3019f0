"""One generation of a distribution's code, which is begun when something is first imported from it."""

from __future__ import annotations

import importlib
import os
import time
from typing import TYPE_CHECKING, Any, Final

from hotplug import _discovery
from hotplug._host._policy import normal_name
from hotplug._loader import modules_of
from hotplug._reloader import Generation
from hotplug.errors import PluginError
from hotplug.registry import Once

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from hotplug._host._codes import Codes
    from hotplug._records import PluginRecord
    from hotplug._reloader import Leftovers

__all__ = ["Code"]

MOMENT: Final = 1.0
"""Seconds that an installer who is at work is waited for."""


class Code:
    """
    One generation of a distribution's code, which is begun when it is first needed.

    What lies where nobody can tell whose it is (an archive, another packager's) is imported as ever.
    Thread-safe.
    """

    def __init__(
        self,
        record: PluginRecord,
        number: int,
        before: Code | None,
        pins: Callable[[PluginRecord], Mapping[str, Generation]],
        codes: Codes,
        others: Callable[[str], tuple[str, Generation] | None] | None = None,
    ) -> None:
        self._codes: Final = codes
        self._others: Final = others or codes.owners.of
        self.record: Final = record
        self.number: Final = number
        self.before = before
        self._pins: Final = pins
        self._once: Once[Generation | None] = Once("code", record.distribution)
        self.generation: Generation | None = None
        self._is_proven = False
        self.users: Final[set[object]] = set()
        """What was made of it and is not over; others may be made as long as it is the present one."""

    @property
    def name(self) -> str:
        """The distribution, as names are compared."""
        return normal_name(self.record.distribution)

    @property
    def is_loaded(self) -> bool:
        """Whether code of it runs, or ran, in this process."""
        generation = self.generation
        if generation is not None:
            return bool(generation.modules)
        return bool(modules_of(self.record))

    def import_module(self, name: str) -> Any:
        """The module *name*, as the entry points of this generation get it. Runs plugin code."""
        generation = self.begun()
        if generation is None:
            return importlib.import_module(name)
        try:
            return generation.import_module(name)
        except BaseException:
            if not generation.modules:  # nothing of it works: who tries again finds what is there by then
                self.begin_again()
            raise

    def begun(self) -> Generation | None:
        """Its generation, which everybody imports from now on; None where it can have none."""
        return self._once.get(self._begin)

    def _begin(self) -> Generation | None:
        if self.generation is None:
            generation = self.next_to(None if self.before is None else self.before.generation)
            if generation is not None:
                generation.stage(())
                generation.publish()
                if self._codes.is_over:  # the host was closed meanwhile
                    generation.release()
            self.generation = generation
        return self.generation

    def proved(self) -> None:
        """Something that was imported from it works."""
        self._is_proven = True

    def failed(self) -> None:
        """
        Something that was imported from it does not work.

        If that was the first, who tries again finds what is there by then.
        """
        if not self._is_proven and self._codes.present(self.name) is self:
            self.begin_again()

    def begin_again(self) -> None:
        """Forget what was imported: who asks next finds what is there by then."""
        generation = self.generation
        if generation is not None:
            generation.retire(owner=self._codes.family)
            self.generation, self._once = None, Once("code", self.record.distribution)

    def next_to(self, before: Generation | None) -> Generation | None:
        """
        A generation of what lies on the disk now, not staged yet.

        Where an installer is at work, or a file is being saved, it is waited for, a moment; then this is a
        `PluginError`.
        """
        record, ground = self.record, self._codes.ground(self.record)
        deadline = time.monotonic() + MOMENT
        while True:
            stamp = _discovery.stamp(record)
            generation = (
                Generation(ground, self.number, before, self._pins(record), self._others)
                if ground.grounds
                else None
            )
            if generation is not None:
                _ = generation.sources  # now, for good; whether that was one installation is asked afterwards
            is_whole = _is_settled(record) and _discovery.stamp(record) == stamp
            if is_whole and not (generation is not None and generation.sources.are_being_saved):
                return generation
            if time.monotonic() >= deadline:
                remedy = "ask again when that is over"
                raise PluginError("is being installed or removed right now", self.record, remedy=remedy)
            time.sleep(0.01)
            record = _discovery.found(self.record.distribution, self._codes.relations.path) or self.record
            ground = _discovery.territory(record)

    def retire(self, loop: asyncio.AbstractEventLoop) -> Leftovers | None:
        """Nobody works with it any more: take back what it registered, and say what goes on."""
        self.before = None
        return (
            None
            if self.generation is None
            else self.generation.retire(owner=self._codes.family, loops=[loop])
        )


def _is_settled(record: PluginRecord) -> bool:
    """Whether no installer is seen at work on it."""
    state = _discovery.installation(record.path).state
    if state == "gone":  # in an archive, or shown by a finder of its own, it never was there
        return not os.path.isdir(os.path.dirname(record.path))  # noqa: PTH112, PTH120 - as it is spelled
    return state != "partial"
