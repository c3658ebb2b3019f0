"""The folders that are listened to, by way of ``watchfiles``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from watchfiles._rust_notify import RustNotify

__all__ = ["Ears"]

STEP: Final = 0.01  # seconds: 0.005 would cost twice the processor time when idle, 0.02 twice the patience


class Ears:
    """
    One listener, replaced as a whole when other folders are to be heard.

    What is heard are paths, each after it was quiet for a step. For the one thread that made it.
    """

    def __init__(self) -> None:
        self._notify: RustNotify | None = None
        self._heard: set[str] = set()

    @property
    def are_open(self) -> bool:
        """Whether anything is listened to."""
        return self._notify is not None

    def arm(self, directories: Sequence[str]) -> None:
        """
        Listen to these, and only then no longer to those before: nothing in both goes unheard.

        Raises OSError or RuntimeError where the system does not allow it; what was armed is still so.
        """
        # Its `watch` comes back to Python after every step, a hundred times a second, and writes a line of
        # log for each batch: into a watched folder, that would never end.
        from watchfiles._rust_notify import RustNotify

        fresh = RustNotify(
            watch_paths=list(directories),
            debug=False,
            force_polling=False,  # its polling misses two writes within one second
            poll_delay_ms=0,
            recursive=False,
            ignore_permission_denied=False,  # who is deaf has to know
        )
        before, self._notify = self._notify, fresh
        if before is not None:
            self._heard |= _heard_by(before, None, STEP)
            before.close()

    def listen(self, otherwise: threading.Event, pause: float) -> set[str]:
        """What is heard within *pause* seconds, or a little more, unless *otherwise* is set meanwhile."""
        if self._notify is None:
            otherwise.wait(pause)
            return set()
        heard, self._heard = self._heard, set()
        return heard | _heard_by(self._notify, _Alarm(otherwise), 0.0 if heard else pause)

    def close(self) -> None:
        """Listen to nothing any more."""
        if self._notify is not None:
            self._notify.close()
            self._notify = None


class _Woken(Exception):  # noqa: N818 - it is no error, and is not seen outside
    """Somebody wants something else."""


class _Alarm:
    """Interrupts who listens when *event* is set: who is told so as it is meant forgets what was heard."""

    def __init__(self, event: threading.Event) -> None:
        self._event: Final = event

    def is_set(self) -> bool:
        if self._event.is_set():
            raise _Woken
        return False


def _heard_by(notify: RustNotify, alarm: _Alarm | None, pause: float) -> set[str]:
    step = min(STEP, max(pause, STEP / 10))
    # It looks at the clock after each step, and has to be asked for something more than nothing.
    patience = max(1, math.floor(1000 * (pause - step)))
    try:
        changes = notify.watch(1, math.ceil(1000 * step), patience, alarm)
    except _Woken:
        return set()
    return set() if isinstance(changes, str) else {path for _, path in changes}
