"""The demo itself: a host, a broker, and users at work side by side."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

import hotplug
from hotplug.market import Fill
from hotplug_demo._isolation import FILL_TOLD, Attempt, Audit, Evidence, Outcome, audit, trespass
from hotplug_demo._needs import AGENT, TOOLS, Trouble, check_working
from hotplug_demo._players import BROKER, config_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from hotplug.market import Bar, BrokerEvent
    from hotplug_demo._players import Player

__all__ = ["Audience", "Performance", "perform"]

R = TypeVar("R")

LIMIT: Final = 12.0
"""Seconds that the users' work may take: the demo ends by itself, whatever a plugin does."""

MANY: Final = 1_000_000


class Audience(Protocol):
    """Who watches while it happens."""

    def opened(self, statuses: Sequence[hotplug.PluginStatus]) -> None: ...
    def bar(self, user: str) -> None: ...
    def heard(self, user: str, what: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """All that came of it, and the *seconds* that it took."""

    plugins: tuple[hotplug.PluginStatus, ...]
    bars: tuple[Bar, ...]
    evidence: Evidence
    audit: Audit
    seconds: float

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What came of each user's part."""
        return self.evidence.outcomes


async def perform(
    users: Sequence[Player], strategy: str, bars: tuple[Bar, ...], audience: Audience
) -> Performance:
    """
    Let every player ask the agent and run *strategy* over *bars*, all at once, on one paper broker.

    Raises `Trouble` where a plugin does not do its part.
    """
    begun = time.perf_counter()
    async with hotplug.Host(config_for(users, strategy)) as host:
        check_working(host.plugins, strategy)
        audience.opened(host.plugins)
        try:
            evidence = await _at_once(host, users, bars, audience)
        except Exception as error:
            # A plugin that failed at its first use is known by now, with reason and remedy.
            check_working(host.plugins, strategy)
            if isinstance(error, ExceptionGroup):
                raise _first_of(cast("ExceptionGroup[Exception]", error)) from None
            raise
        plugins = host.plugins
    return Performance(
        plugins=plugins,
        bars=bars,
        evidence=evidence,
        audit=audit(evidence),
        seconds=time.perf_counter() - begun,
    )


def _first_of(failures: ExceptionGroup[Exception]) -> Exception:
    first = failures.exceptions[0]
    if isinstance(first, ExceptionGroup):
        return _first_of(cast("ExceptionGroup[Exception]", first))
    return first


async def _at_once(
    host: hotplug.Host, users: Sequence[Player], bars: tuple[Bar, ...], audience: Audience
) -> Evidence:
    """Everybody's work, and what the broker and the events say of it afterwards."""
    broker = host.brokers.get(BROKER)
    tape = Tape(broker, (await broker.snapshot()).cursor, _tell_fills(host, users, audience))
    async with AsyncExitStack() as stack:
        # All is loaded before the work begins: what takes long then cannot be given up half-way.
        for tool in TOOLS:
            await host.tools.aget(tool)
        seats = [await _seated(host, player, stack) for player in users]
        return await _in_time(_work(host, seats, tape, bars, audience))


async def _in_time(work: Coroutine[None, None, R]) -> R:
    """What *work* comes to within the limit."""
    limit = asyncio.timeout(LIMIT)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise Trouble(f"the users' work was not done within {LIMIT:g} seconds, and was stopped") from None


async def _work(
    host: hotplug.Host, seats: Sequence[Seat], tape: Tape, bars: tuple[Bar, ...], audience: Audience
) -> Evidence:
    broker = host.brokers.get(BROKER)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(tape.follow())
        parts = [group.create_task(_part(host, seat, bars, audience)) for seat in seats]
        outcomes = [await part for part in parts]
        attempts = await _reach_over(outcomes, broker, host.events)
        books = await broker.snapshot()
        await tape.reach(books.cursor)
        reading.cancel()
    complete = tuple(
        replace(outcome, events=tuple(seat.events.poll(MANY)))
        for outcome, seat in zip(outcomes, seats, strict=True)
    )
    return Evidence(outcomes=complete, tape=tuple(tape.events), books=books, attempts=tuple(attempts))


async def _reach_over(
    outcomes: Sequence[Outcome], broker: hotplug.IBrokerGateway, hub: hotplug.EventHub
) -> list[Attempt]:
    """Let every user try to reach over to the next one."""
    neighbours = zip(outcomes, [*outcomes[1:], *outcomes[:1]], strict=True)
    return [
        attempt
        for one, other in neighbours
        if one is not other
        for attempt in await trespass(one, other, broker, hub)
    ]


# -- one user ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """What a user works with: the session's own strategy and broker, and a cursor on the user's events."""

    player: Player
    strategy: hotplug.Strategy
    broker: hotplug.IBrokerGateway
    events: hotplug.EventCursor


async def _seated(host: hotplug.Host, player: Player, stack: AsyncExitStack) -> Seat:
    """A session for *player*, open until *stack* is unwound."""
    session = await stack.enter_async_context(host.session(player.context))
    return Seat(
        player=player,
        strategy=await session.strategies.aget(player.key),
        broker=await session.brokers.aget(BROKER),
        events=stack.enter_context(host.events.open(player.context)),
    )


async def _part(host: hotplug.Host, seat: Seat, bars: tuple[Bar, ...], audience: Audience) -> Outcome:
    """One user's work: an answer from the agent, and a run of the user's strategy, at the same time."""
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_ask(host, seat.player, audience))
        trading = group.create_task(_trade(seat, bars, audience))
    return Outcome(
        player=seat.player,
        answer=asking.result(),
        strategy=seat.strategy,
        report=trading.result(),
        events=(),
    )


async def _ask(host: hotplug.Host, player: Player, audience: Audience) -> Mapping[str, object]:
    last: hotplug.Event | None = None
    async with aclosing(host.agents.stream(AGENT, dict(player.question), player.context)) as events:
        async for event in events:
            audience.heard(player.user, event.type)
            last = event
    if last is None or last.type != "RUN_FINISHED":
        why = "no answer came" if last is None else last.payload.get("message", "no answer came")
        raise Trouble(f"agents/{AGENT} did not answer {player.user}: {why}")
    answer = last.payload["result"]
    return cast("dict[str, object]", answer) if isinstance(answer, dict) else {"text": str(answer)}


async def _trade(seat: Seat, bars: tuple[Bar, ...], audience: Audience) -> hotplug.StrategyReport:
    player = seat.player
    market = _streamed(bars, lambda: audience.bar(player.user))
    report = await hotplug.run_strategy(seat.strategy, seat.broker, market, context=player.context)
    if report.error is not None:
        what = f"{type(report.error).__name__}: {report.error}"
        raise Trouble(f"the strategy {report.strategy} of {player.user} was stopped by {what}")
    return report


async def _streamed(bars: Sequence[Bar], seen: Callable[[], None]) -> AsyncIterator[Bar]:
    for bar in bars:
        await asyncio.sleep(0)  # the other users' turn
        yield bar
        seen()


# -- what the broker says ------------------------------------------------------------------------------


class Tape:
    """Everything that *broker* says after the cursor *after*; each fill goes to *route* as it comes."""

    def __init__(
        self, broker: hotplug.IBrokerGateway, after: str | None, route: Callable[[Fill], None]
    ) -> None:
        self.events: Final[list[BrokerEvent]] = []
        self._stream = broker.events(after)
        self._reached = after
        self._route = route
        self._news = asyncio.Event()

    async def follow(self) -> None:
        """Read until cancelled."""
        async for event in self._stream:
            self.events.append(event)
            if isinstance(event.payload, Fill):
                self._route(event.payload)
            self._reached = event.cursor
            self._news.set()
        raise Trouble("the broker stopped telling what happens")

    async def reach(self, cursor: str | None) -> None:
        """Return when *cursor* has been read."""
        while self._reached != cursor:
            self._news.clear()
            await self._news.wait()


def _tell_fills(host: hotplug.Host, users: Sequence[Player], audience: Audience) -> Callable[[Fill], None]:
    """Tell each fill to the user on whose account it happened, as an event."""
    owners = {player.user: player for player in users}

    def route(fill: Fill) -> None:
        owner = owners.get(fill.account)
        if owner is not None:
            value = {"trade_id": fill.trade_id, "side": fill.side, "qty": fill.qty, "price": fill.price}
            host.events.emit(owner.context, "CUSTOM", {"name": FILL_TOLD, "value": value})
            audience.heard(owner.user, f"{fill.side} {fill.qty} at {fill.price}")

    return route
