"""What the watcher's thread does: listen, look, wait until it is quiet, report."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from hotplug._watcher._arming import Arming
from hotplug._watcher._ears import Ears
from hotplug._watcher._rounds import Rounds
from hotplug._watcher._unrest import PATIENCE, Unrest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping

    from hotplug._watcher._ward import Ward

__all__ = ["Board", "Pace", "Request", "Watch"]

_log = logging.getLogger("hotplug.watcher")

OVERDUE: Final = 0.1  # seconds that looks by the clock give way to what is going on
BURST: Final = 4  # times the settle window that a root waits for others of its burst
BRIEF: Final = 0.01  # seconds between two looks at the clock, without events, while something goes on
BRIEFEST: Final = 0.002  # and just before somebody has rested
IDLE: Final = 1.0  # and while nothing does, at most
REARM_SHARE: Final = 20  # times what arming cost, until it is done again for no news
RECOVERY: Final = 1.0  # seconds after an error of our own
ECHO: Final = 2.0  # seconds after which even the coarsest clock has gone on
LOOK_LIMIT: Final = 1.0  # seconds that who asks for a look waits for what does not rest


class Request:
    """Somebody's wish that everything be looked at now; *keys* are what was reported for it."""

    def __init__(self) -> None:
        self.done: Final = threading.Event()
        self.keys: set[Hashable] = set()
        self.until = 0.0
        self.pending: set[Ward] = set()


class Board:
    """What others want of the thread. Each field is replaced as a whole."""

    def __init__(self) -> None:
        self.wanted: Mapping[Ward, frozenset[Hashable]] = {}
        self.requests: Final[deque[Request]] = deque()
        self.closing = False
        self.wake: Final = threading.Event()


class Pace:
    """How patiently: all in seconds."""

    def __init__(self, settle: float, tick: float, poll: float) -> None:
        self.settle: Final = settle
        self.tick: Final = tick
        self.poll: Final = poll


class Watch:
    """One life of the watcher's thread; made and used on it, but for the counts."""

    def __init__(self, board: Board, pace: Pace, tell: Callable[[frozenset[Hashable]], object]) -> None:
        self._board = board
        self._pace = pace
        self._tell_them = tell
        self._ears = Ears()
        self._wards: Mapping[Ward, frozenset[Hashable]] = {}
        self._unrest: dict[Ward, Unrest] = {}
        self._waiting: list[Request] = []
        self._echoes: dict[Ward, float] = {}
        self._gap = True
        self._outdated = False
        self._rearm_at = 0.0
        self._wake_at = 0.0
        self._pause = 0.0
        self.arming: Final = Arming(self._ears)
        self.rounds: Final = Rounds(pace.tick, pace.poll)
        self.missed = 0
        self.last_look = 0.0

    def run(self) -> None:
        """Watch until the board says that it is over."""
        try:
            while not self._board.closing:
                self._beat_or_recover()
        finally:
            self._ears.close()
            for request in (*self._waiting, *self._board.requests):
                request.done.set()

    def _beat_or_recover(self) -> None:
        try:
            self._beat()
        except Exception:  # noqa: BLE001 - whatever it is, the watching goes on
            _log.exception("watching stumbled; everything is looked at again")
            self._ears.close()
            self._gap = self._outdated = True
            self._wake_at = 0.0
            if not self._board.closing:
                self._board.wake.wait(RECOVERY)

    def _beat(self) -> None:
        """One step: sleep until something is heard, wanted or due."""
        heard = self._ears.listen(self._board.wake, self._pause)
        now = time.monotonic()
        if heard or now >= self._wake_at or self._board.wake.is_set():
            self._board.wake.clear()
            self._do_what_is_due(heard, now)
            self._rest()

    def _do_what_is_due(self, heard: Collection[str], now: float) -> None:
        """What was heard, what is to be looked at, what has become quiet."""
        if self._board.wanted is not self._wards:
            self._adopt()
        self._echo(now)
        if any((self._hear(heard), self._answer_requests(), self._look_at_warm(now), self._go_round(now))):
            self._gather(now)
        if self._outdated or now >= self.arming.again_at or (now >= self._rearm_at and self._is_deaf()):
            self._arm()
        elif self._unrest:
            self._settle(time.monotonic())
        if self._waiting:
            self._let_go(now)

    def _rest(self) -> None:
        """Until when nothing is to be done, if nothing is heard and nobody wants anything."""
        now = time.monotonic()
        if self._unrest or self._waiting or self._outdated:
            self._wake_at = 0.0
            due = min((unrest.due(self._pace.settle) for unrest in self._unrest.values()), default=now)
            self._pause = min(BRIEF, max(BRIEFEST, due - now)) if due > now else BRIEF
            return
        warm = (ward.warm.next_at for ward in self._wards)
        deaf = (self._rearm_at for ward in self._wards if ward.rearm)
        self._wake_at = min(self.rounds.next_at, self.arming.again_at, *self._echoes.values(), *warm, *deaf)
        self._pause = min(IDLE, max(BRIEF, self._wake_at - now))

    # -- looking -----------------------------------------------------------------------------------

    def _adopt(self) -> None:
        self._wards = self._board.wanted
        self._unrest = {ward: unrest for ward, unrest in self._unrest.items() if ward in self._wards}
        self._outdated = True

    def _hear(self, heard: Collection[str]) -> bool:
        for ward, directory, name in self.arming.whom(heard):
            if name:
                ward.hear(directory, name)
            else:
                ward.hear_of(directory)
        return bool(heard)

    def _look_at_warm(self, now: float) -> bool:
        looked = False
        for ward in self._wards:
            if now >= ward.warm.next_at:
                for place in ward.warm.due(now):
                    ward.look_again(place)
                    looked = True
        return looked

    def _go_round(self, now: float) -> bool:
        if self._unrest and now < self.rounds.next_at + OVERDUE:
            return False
        looked = self.rounds.go_on(now)
        if looked:
            self.last_look = time.time()
        return looked

    def _gather(self, now: float) -> None:
        """Note who has news."""
        for ward in self._wards:
            if ward.news:
                unrest = self._unrest.setdefault(ward, Unrest(now))
                unrest.note(ward.take_news(), now, local=ward not in self.arming.polled)

    # -- arming ------------------------------------------------------------------------------------

    def _is_deaf(self) -> bool:
        """Whether somebody is to be listened to anew. Who is restless is, when that is over."""
        return any(ward.rearm and ward not in self._unrest for ward in self._wards)

    def _arm(self) -> None:
        """Listen anew. What was heard meanwhile comes with the next step, and nothing is reported before."""
        before = time.thread_time()
        gapless = self.arming.arm(self._wards) and not self._gap
        self._gap = self._outdated = False
        for ward in self._wards:
            fresh, ward.fresh = ward.fresh, set()
            if gapless:
                for directory in fresh:
                    ward.look_in(directory)
            else:
                ward.look()
            ward.unheard.clear()
        now = time.monotonic()
        self.rounds.follow(self._wards, self.arming.polled, now)
        self._gather(now)
        self._rearm_at = now + REARM_SHARE * (time.thread_time() - before)

    # -- reporting ---------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """Report who is quiet, together with the others of the same burst."""
        if any(ward.rearm for ward in self._due(now)):
            self._arm()
            return
        rested = {ward for ward in self._due(now) if self._has_rested(ward, now)}
        ready = [ward for ward in rested if not self._waits_for_others(ward, rested, now)]
        if ready:
            self._report(ready)

    def _due(self, now: float) -> list[Ward]:
        return [ward for ward, unrest in self._unrest.items() if now >= unrest.due(self._pace.settle)]

    def _has_rested(self, ward: Ward, now: float) -> bool:
        """Whether a second look agrees with the first; in the long run, as far as code is concerned."""
        unrest = self._unrest[ward]
        for place in list(unrest.places):
            ward.look_again(place)
        news = ward.take_news()
        if news:
            unrest.note(news, now, local=ward not in self.arming.polled)
            return now >= unrest.since + PATIENCE and not any(piece.must_rest for piece in news)
        if unrest.rested_at is None:
            unrest.rested_at = now
        return True

    def _waits_for_others(self, ward: Ward, rested: Collection[Ward], now: float) -> bool:
        unrest = self._unrest[ward]
        if unrest.rested_at is None or now >= unrest.rested_at + BURST * self._pace.settle:
            return False
        return any(
            other.is_a_burst(now) for restless, other in self._unrest.items() if restless not in rested
        )

    def _report(self, wards: Collection[Ward]) -> None:
        keys: set[Hashable] = set()
        for ward in wards:
            if self._unrest.pop(ward).is_coarse:
                self._echoes[ward] = time.monotonic() + ECHO
            self._mistrust_events(ward)
            mine = self._board.wanted.get(ward, frozenset())
            keys |= mine
            for request in self._waiting:
                if ward in request.pending:
                    request.pending.discard(ward)
                    request.keys |= mine
        if keys:
            self._tell(frozenset(keys))

    def _echo(self, now: float) -> None:
        """Report once more what may have been written again within one second of a coarse clock."""
        for ward, at in list(self._echoes.items()):
            if now >= at:
                del self._echoes[ward]
                self._unrest.setdefault(ward, Unrest(now))

    def _tell(self, keys: frozenset[Hashable]) -> None:
        try:
            self._tell_them(keys)
        except BaseException:  # noqa: BLE001 - the border to whoever is told
            _log.exception("what follows the change of %s raised", ", ".join(map(repr, keys)))

    def _mistrust_events(self, ward: Ward) -> None:
        """Listen anew where a look found what no event had told: whoever should have is deaf."""
        if ward.unheard and ward not in self.arming.polled:
            self.missed += 1
            ward.rearm = True
        ward.unheard.clear()

    # -- requests ----------------------------------------------------------------------------------

    def _answer_requests(self) -> bool:
        """Look at everything, if somebody asked for it."""
        if not self._board.requests:
            return False
        asked: list[Request] = []
        while self._board.requests:
            asked.append(self._board.requests.popleft())
        for ward in self._wards:
            ward.look()
        now = time.monotonic()
        self._gather(now)
        for request in asked:
            request.until, request.pending = now + LOOK_LIMIT, set(self._unrest)
        self._waiting += asked
        self.last_look = time.time()
        return True

    def _let_go(self, now: float) -> None:
        """Let go who waits for nothing more, or has waited for long enough."""
        for request in list(self._waiting):
            request.pending &= self._unrest.keys()
            if not request.pending or now >= request.until:
                self._waiting.remove(request)
                request.done.set()
