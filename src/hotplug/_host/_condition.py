"""How a plugin is: its status, and what becomes of it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from hotplug._host._secrets import hide_secrets, without_secrets
from hotplug._loader import traceback_of
from hotplug._records import Changes
from hotplug.errors import DuplicateKeyError, PluginTimeoutError, RestartRequired

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplug._host._code import Code
    from hotplug._host._policy import Seat
    from hotplug._records import PluginStatus
    from hotplug.errors import HotplugError, PluginError

__all__ = ["Condition", "Listener", "MEND"]

RESTART: Final = "restart required"
PENDING: Final = "reload pending"
BROKEN: Final = "broken install"
MEND: Final = "see the error; mend the plugin or install another version"


class Listener(Protocol):
    """Who is told when the status of one that stands changes by itself."""

    def happened(self, changes: Changes) -> None: ...


class Condition:
    """The status of the plugin at one seat. Changes are atomic; any thread may read it."""

    def __init__(self, seat: Seat, listener: Listener, code: Code | None) -> None:
        self.seat: Seat = seat
        self._listener: Final = listener
        self._status = seat.status if code is None else replace(seat.status, generation=code.number)
        self._guard: Final = threading.Lock()
        self._stuck: PluginTimeoutError | None = None
        self._left_behind: list[str] = []
        self._refused: object = None
        self.refused_with: frozenset[str] = frozenset()
        """The distributions whose next generations were refused together, its own among them."""
        self.stands: bool = False
        """Whether it has taken its key, and not given it back."""

    @property
    def status(self) -> PluginStatus:
        """The present status."""
        return self._status

    def _refuse_while_stuck(self) -> None:
        """Raise what it is stuck in, if it is."""
        if self._stuck is not None:
            raise _again(self._stuck)

    @property
    def has_failed(self) -> bool:
        """Whether it was tried, and nothing of it serves."""
        return self._status.state in ("failed", "timed_out")

    @property
    def stuck_threads(self) -> tuple[str, ...]:
        """The names of the threads that were left behind in this plugin's code, and may have ended since."""
        return tuple(self._left_behind)

    def mark(self, **facts: Any) -> None:
        """Change the status, at once and as a whole."""
        with self._guard:
            self._status = replace(self._status, **facts)

    def try_again(self) -> None:
        """After a look at the environment: what timed out may be tried once more."""
        if self._stuck is not None:
            self._stuck = None
            self.mark(state="discovered", reason="", remedy="", error="")
        elif self._refused is not None:
            self._refused, self.refused_with = None, frozenset()
            self.mark(reason="", remedy="", error="")
        elif self._status.reason == RESTART:
            self.mark(reason="", remedy="")

    def displaced(self, error: HotplugError) -> None:
        """It could not take its key, or not give it back: say why."""
        if isinstance(error, DuplicateKeyError):
            remedy = f"{error}; give the plugin another key in the configuration"
            self.mark(state="conflict", reason="conflict", remedy=remedy)
        else:
            self.restart_required(f"{error}; restart to follow the change")

    def not_renewed(self, error: PluginError, version: str) -> None:
        """The next generation, of *version*, did not come to be: this one serves on, and says why."""
        if isinstance(error, PluginTimeoutError):
            self._left_behind.append(error.thread)
        if self.has_failed:  # nothing serves
            self.mark(reason=error.reason, remedy=error.remedy or MEND, error=self._told(error))
        elif isinstance(error, RestartRequired):
            self.mark(reason=RESTART, remedy=f"{error.why}; {error.remedy}", error=self._told(error))
        else:
            reason = f"{version} refused".strip()
            self.mark(reason=reason, remedy=error.remedy or MEND, error=self._told(error))

    def remember_refused(self, what: object, together: Iterable[str]) -> None:
        """*what* was refused, which is said of all the distributions *together*."""
        self._refused, self.refused_with = what, frozenset(together)

    def has_refused(self, what: object) -> bool:
        """Whether that is what was refused before."""
        return self._refused is not None and self._refused == what

    def pending(self, distribution: str) -> None:
        """Its next generation waits for somebody to ask for it: a live gateway is not touched unasked."""
        self.mark(
            reason=PENDING, remedy=f"it is live: host.reload({distribution!r}) when the moment is right"
        )

    @property
    def is_pending(self) -> bool:
        """Whether it says so."""
        return self._status.reason == PENDING

    def waits_no_more(self) -> None:
        """What it waited for, or refused when it was asked for, is what runs."""
        if self.is_pending:
            self.mark(reason="", remedy="")
        elif self._refused is not None:
            self.try_again()

    def is_installed(self, broken: PluginStatus | None) -> None:
        """What is installed is well, or *broken*, as that status says; what runs is what was read before."""
        if broken is not None:
            self.mark(reason=broken.reason, remedy=broken.remedy)
        elif self._status.reason == BROKEN:
            self.mark(reason="", remedy="")

    def restart_required(self, remedy: str) -> None:
        """It cannot follow a change in this process, and serves as it is."""
        self.mark(reason=RESTART, remedy=remedy)

    def _note(self, reason: str, remedy: str, error: str) -> None:
        """Say how the latest making went; that it needs a restart stays said."""
        if self._status.reason == RESTART:
            self.mark(error=error)
        else:
            self.mark(reason=reason, remedy=remedy, error=error)

    def _loaded(self, seconds: float) -> None:
        self.mark(state="loaded", reason="", remedy="", error="", load_seconds=seconds)
        if self.stands:  # beside, it is nobody's news yet
            self._listener.happened(Changes(changed=(self.seat.name,)))

    def _told(self, error: PluginError) -> str:
        """The traceback, and the error itself, without the secrets that this plugin was given."""
        settings: object = self.seat.entry.settings if self.seat.entry else ()
        hide_secrets(error, settings)
        return without_secrets(traceback_of(error), settings)

    def works(self) -> None:
        """What had failed was tried again, and went well."""
        if self._status.state != "loaded":
            self._stuck = None
            self.mark(state="loaded", reason="", remedy="", error="")
            self._listener.happened(Changes(changed=(self.seat.name,)))

    def failed(self, error: PluginError) -> None:
        """Say so in the status, with the traceback as text."""
        if isinstance(error, PluginTimeoutError):
            self._stuck = _again(error)
            self._left_behind.append(error.thread)
        self.mark(
            state="failed" if self._stuck is None else "timed_out",
            reason=error.reason,
            remedy=error.remedy or MEND,
            error=self._told(error),
        )
        if self.stands:  # beside, it is the verb's to tell
            self._listener.happened(Changes(failed=(self.seat.name,)))


def _again(error: PluginTimeoutError) -> PluginTimeoutError:
    """The same error anew: one that is raised twice collects tracebacks, and all that they keep alive."""
    return PluginTimeoutError(
        error.doing, error.limit, error.record, remedy=error.remedy, thread=error.thread
    )
