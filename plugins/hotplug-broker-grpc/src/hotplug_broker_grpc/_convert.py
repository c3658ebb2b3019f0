"""What crosses the wire: a codec per record, lists in parts, events, and quotes in columns."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from decimal import Decimal
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hotplug.market import (
    Balance,
    Bar,
    BrokerEvent,
    CancelScope,
    Capability,
    Environment,
    Fill,
    Gap,
    GatewayStatus,
    HealthReport,
    HealthState,
    Heartbeat,
    Instrument,
    Order,
    OrderAck,
    OrderChange,
    OrderRef,
    OrderRequest,
    OrderType,
    Position,
    Quote,
    RateLimit,
    Snapshot,
    StatusChange,
    TimeInForce,
)
from hotplug_broker_grpc._codec import BadMessageError, Codec, Words, from_micros, to_micros
from hotplug_broker_grpc.stubs import broker_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "ACK",
    "BALANCE",
    "BAR",
    "CANCEL_SCOPES",
    "CAPABILITIES",
    "CHANGE",
    "ENVIRONMENTS",
    "FILL",
    "GATEWAY_STATES",
    "HEALTH",
    "HEALTH_STATES",
    "INSTRUMENT",
    "ORDER",
    "ORDER_TYPES",
    "POSITION",
    "QUOTE",
    "RATE_LIMIT",
    "REF",
    "REQUEST",
    "TIFS",
    "Joiner",
    "decode_event",
    "decode_quotes",
    "encode_event",
    "encode_quotes",
    "in_parts",
    "snapshot_parts",
]

T = TypeVar("T")

REQUEST: Final = Codec(OrderRequest, pb.OrderRequest)
REF: Final = Codec(OrderRef, pb.OrderRef)
CHANGE: Final = Codec(OrderChange, pb.OrderChange)
ACK: Final = Codec(OrderAck, pb.OrderAck)
ORDER: Final = Codec(Order, pb.Order)
FILL: Final = Codec(Fill, pb.Fill)
POSITION: Final = Codec(Position, pb.Position)
BALANCE: Final = Codec(Balance, pb.Balance)
INSTRUMENT: Final = Codec(Instrument, pb.Instrument)
QUOTE: Final = Codec(Quote, pb.Quote)
BAR: Final = Codec(Bar, pb.Bar)
HEALTH: Final = Codec(HealthReport, pb.HealthReport)
RATE_LIMIT: Final = Codec(RateLimit, pb.RateLimit)
GAP: Final = Codec(Gap, pb.Gap)
HEARTBEAT: Final = Codec(Heartbeat, pb.Heartbeat)
STATUS_CHANGE: Final = Codec(StatusChange, pb.StatusChange)

CAPABILITIES: Final = Words(Capability)
CANCEL_SCOPES: Final = Words(CancelScope)
ENVIRONMENTS: Final = Words(Environment)
GATEWAY_STATES: Final = Words(GatewayStatus)
HEALTH_STATES: Final = Words(HealthState)
ORDER_TYPES: Final = Words(OrderType)
TIFS: Final = Words(TimeInForce)

PART: Final = 1000
"""Records in one message of a list, at most: it stays far below the size that gRPC refuses."""


def in_parts(items: Sequence[T], size: int = PART) -> Iterator[Sequence[T]]:
    """*items* cut into parts; nothing is one empty part."""
    yield items[:size]
    for start in range(size, len(items), size):
        yield items[start : start + size]


# -- snapshots -------------------------------------------------------------------------------------


def _lists() -> tuple[tuple[str, Any, Any], ...]:
    return (
        ("orders", ORDER, pb.Orders),
        ("fills", FILL, pb.Fills),
        ("positions", POSITION, pb.Positions),
        ("balances", BALANCE, pb.Balances),
    )


LISTS: Final = _lists()


def snapshot_parts(snapshot: Snapshot, size: int = PART) -> Iterator[pb.Snapshot]:
    """The messages of *snapshot*; all but the last say that there is more."""
    parts: list[pb.Snapshot] = []
    for name, codec, message in LISTS:
        items = getattr(snapshot, name)
        if items is not None:
            lists: list[Any] = [message(items=map(codec.encode, part)) for part in in_parts(items, size)]
            parts += [pb.Snapshot(**{name: part}, more=True) for part in lists]
    yield from parts
    yield pb.Snapshot(cursor=snapshot.cursor)


class Joiner:
    """Makes one snapshot of the messages of it."""

    def __init__(self) -> None:
        self._lists: dict[str, list[Any]] = {}

    def add(self, part: pb.Snapshot) -> Snapshot | None:
        """Take the next message; the snapshot, if it was the last one."""
        for name, codec, _ in LISTS:
            if part.HasField(name):
                self._lists.setdefault(name, []).extend(map(codec.decode, getattr(part, name).items))
        if part.more:
            return None
        lists, self._lists = self._lists, {}
        cursor = part.cursor if part.HasField("cursor") else None
        held = {name: tuple(lists[name]) if name in lists else None for name, *_ in LISTS}
        return Snapshot(**held, cursor=cursor)


# -- events ----------------------------------------------------------------------------------------

PAYLOADS: Final[dict[type, tuple[str, Codec[Any, Any]]]] = {
    Order: ("order", ORDER),
    Fill: ("fill", FILL),
    Position: ("position", POSITION),
    Balance: ("balance", BALANCE),
    StatusChange: ("status_change", STATUS_CHANGE),
    Heartbeat: ("heartbeat", HEARTBEAT),
    Gap: ("gap", GAP),
}
DECODERS: Final[dict[str, Callable[[Any], Any]]] = {name: codec.decode for name, codec in PAYLOADS.values()}


def encode_event(event: BrokerEvent) -> Iterator[pb.BrokerEvent]:
    """The messages of *event*: one, or those of a snapshot."""
    payload = event.payload
    cursor, time, generation = event.cursor, to_micros(event.time), event.generation
    if isinstance(payload, Snapshot):
        for part in snapshot_parts(payload):
            yield pb.BrokerEvent(cursor=cursor, time=time, generation=generation, snapshot=part)
        return
    name, codec = PAYLOADS[type(payload)]
    held: dict[str, Any] = {name: codec.encode(payload)}
    yield pb.BrokerEvent(cursor=cursor, time=time, generation=generation, **held)


def decode_event(message: pb.BrokerEvent, snapshot: Joiner) -> BrokerEvent | None:
    """The event; ``None`` while it is a *snapshot* of which more is to come, or a payload not known here."""
    name = message.WhichOneof("payload")
    payload: Any = None
    if name == "snapshot":
        payload = snapshot.add(message.snapshot)
    elif name is not None:
        payload = DECODERS[name](getattr(message, name))
    if payload is None:
        return None
    return BrokerEvent(
        cursor=message.cursor,
        time=from_micros(message.time),
        generation=message.generation,
        payload=payload,
    )


# -- quotes, the only thing of which there are many -----------------------------------------------------

QUOTE_FIELDS: Final = ("symbol", "bid", "bid_size", "ask", "ask_size", "time")
_new_quote: Final[Callable[[type[Quote]], Quote]] = object.__new__
_EPOCH: Final = from_micros(0)
_NONE: Final = repeat(0)
_setters: Final[list[Any]] = [getattr(Quote, name).__set__ for name in QUOTE_FIELDS]


def encode_quotes(quotes: Sequence[Quote]) -> pb.QuoteBatch:
    """All of *quotes* in one message."""
    return pb.QuoteBatch(
        symbol=[quote.symbol for quote in quotes],
        bid=_texts([quote.bid for quote in quotes]),
        bid_size=_texts([quote.bid_size for quote in quotes]),
        ask=_texts([quote.ask for quote in quotes]),
        ask_size=_texts([quote.ask_size for quote in quotes]),
        time=[to_micros(quote.time) for quote in quotes],
    )


def _texts(numbers: Sequence[Decimal | None]) -> list[str]:
    return ["" if number is None else str(number) for number in numbers]


def decode_quotes(batch: pb.QuoteBatch) -> list[Quote]:
    """The quotes of *batch*; `BadMessageError` where it holds others."""
    try:
        prices = [_numbers(column) for column in (batch.bid, batch.bid_size, batch.ask, batch.ask_size)]
        times = list(map(_EPOCH.__add__, map(timedelta, _NONE, _NONE, batch.time)))
    except (ValueError, ArithmeticError) as error:
        raise BadMessageError(f"QuoteBatch: {error}") from error
    columns: tuple[Sequence[Any], ...] = (batch.symbol, *prices, times)
    number = len(batch.symbol)
    if any(len(column) != number for column in columns):
        raise BadMessageError("QuoteBatch: its columns are not of one length")
    # What the record would check is checked, a column at a time; its own way would cost five times as much.
    quotes = list(map(_new_quote, repeat(Quote, number)))
    for put, column in zip(_setters, columns, strict=True):
        deque[None](map(put, quotes, column), maxlen=0)
    return quotes


def _numbers(column: Sequence[str]) -> Sequence[Decimal | None]:
    texts = list(column)
    found = list(map(Decimal, filter(None, texts)))
    if not all(map(Decimal.is_finite, found)):
        raise BadMessageError("a price or size is not a finite number")
    if len(found) == len(texts):
        return found
    left = iter(found)
    return [next(left) if text else None for text in texts]
