"""Which roots are listened to, which are polled, and whom a heard path concerns."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Final

from hotplug._watcher._mounts import reason_to_poll

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hotplug._watcher._ears import Ears
    from hotplug._watcher._ward import Ward

__all__ = ["Arming"]

_log = logging.getLogger("hotplug.watcher")

VANISHED: Final = 10  # times that folders may vanish while they are armed
RECOVERY: Final = 0.02  # seconds that the system has to take back what a failed attempt had
AGAIN: Final = 60.0  # seconds until events are asked for again where they were refused; doubled each time
NEVER: Final = float("inf")

_Places = dict[str, list[tuple["Ward", str]]]


class Arming:
    """
    Shares the roots out among events and polling.

    Two paths of one folder are armed once, as the system would tell of one of them only. Where the
    system refuses, the largest root is polled instead, until the rest is granted.
    """

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self._places: _Places = {}
        self._pause = AGAIN
        self.polled: Mapping[Ward, str] = {}
        self.watches = 0
        self.count = 0
        self.again_at = NEVER

    def arm(self, wards: Iterable[Ward]) -> bool:
        """
        Listen to the folders of *wards*; their marks of what is to be armed are taken away.

        False if nobody listened for a while: then everything has to be looked at.
        """
        wards = list(wards)
        reasons = {ward: reason_to_poll(ward.path) for ward in wards}
        polled = {ward: reason for ward, reason in reasons.items() if reason}
        remote = len(polled)
        gapless = self._arm_what_can_be([ward for ward in wards if ward not in polled], polled)
        for ward in wards:
            ward.rearm = False
        self._tell_of_new(polled)
        self.polled, self.count = polled, self.count + 1
        self._pause = AGAIN if len(polled) == remote else self._pause * 2
        self.again_at = NEVER if len(polled) == remote else time.monotonic() + self._pause / 2
        return gapless

    def whom(self, heard: Iterable[str]) -> Iterator[tuple[Ward, str, str]]:
        """Each root that a path concerns, the folder by its name there, and what was named in it."""
        for path in heard:
            directory, name = os.path.split(path)
            for ward, place in self._places.get(directory, ()):
                yield ward, place, name
            for ward, place in self._places.get(path, ()):
                yield ward, place, ""

    def _arm_what_can_be(self, wards: list[Ward], polled: dict[Ward, str]) -> bool:
        gapless, vanished = True, 0
        while True:
            places = _places(wards)
            try:
                self._arm(places)
            except (OSError, RuntimeError) as error:
                if isinstance(error, FileNotFoundError) and (vanished := vanished + 1) < VANISHED:
                    continue
                if self._ears.are_open:  # two listeners at once may be what is too much
                    self._ears.close()
                    gapless = False
                else:
                    refused = _whose_fault(wards)
                    polled[refused] = f"{type(error).__name__}: {error}"
                    wards.remove(refused)
                time.sleep(RECOVERY)
            else:
                self._places, self.watches = places, len(places)
                return gapless

    def _arm(self, places: _Places) -> None:
        if places:
            self._ears.arm(list(places))
        else:
            self._ears.close()

    def _tell_of_new(self, polled: Mapping[Ward, str]) -> None:
        for ward, why in polled.items():
            if self.polled.get(ward) != why:
                _log.info("%s is looked at by the clock, without events: %s", ward.path, why)


def _places(wards: Iterable[Ward]) -> _Places:
    """
    The folders to arm, and for each which roots it belongs to, by which name.

    They are armed by their real paths: on some systems events tell of those, whatever was asked for.
    """
    first: dict[tuple[int, int], str] = {}
    places: _Places = {}
    for ward in wards:
        for directory in ward.directories():
            try:
                found = os.stat(directory)  # noqa: PTH116 - one of thousands
            except OSError:  # gone meanwhile; the root's next look says so
                continue
            path = first.setdefault((found.st_dev, found.st_ino), os.path.realpath(directory))
            places.setdefault(path, []).append((ward, directory))
    return places


def _whose_fault(wards: Iterable[Ward]) -> Ward:
    """Whom to poll: who has folders that may not be read, or else who has the most."""
    return max(wards, key=lambda ward: (_is_closed(ward), len(ward.directories())))


def _is_closed(ward: Ward) -> bool:
    return not all(os.access(directory, os.R_OK) for directory in ward.directories())
