"""Records cross the wire exactly."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotplug.market import (
    Attribution,
    Balance,
    Bar,
    BrokerEvent,
    Fill,
    Gap,
    HealthReport,
    Heartbeat,
    Instrument,
    Order,
    OrderAck,
    OrderChange,
    OrderRef,
    OrderRequest,
    OrderStatus,
    Position,
    Quote,
    RateLimit,
    Side,
    Snapshot,
    StatusChange,
)
from hotplug_broker_grpc import _convert as convert
from hotplug_broker_grpc._codec import BadMessageError, Codec, from_micros, to_micros
from hotplug_broker_grpc.stubs import broker_pb2 as pb
from thorough import part_of

NOW = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
CODECS = {
    OrderRequest: convert.REQUEST,
    OrderRef: convert.REF,
    OrderChange: convert.CHANGE,
    OrderAck: convert.ACK,
    Order: convert.ORDER,
    Fill: convert.FILL,
    Position: convert.POSITION,
    Balance: convert.BALANCE,
    Instrument: convert.INSTRUMENT,
    Quote: convert.QUOTE,
    Bar: convert.BAR,
    HealthReport: convert.HEALTH,
    RateLimit: convert.RATE_LIMIT,
    StatusChange: Codec(StatusChange, pb.StatusChange),
    Heartbeat: Codec(Heartbeat, pb.Heartbeat),
    Gap: Codec(Gap, pb.Gap),
    Attribution: Codec(Attribution, pb.Attribution),
}

texts = st.text(max_size=20)
decimals = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False),
    st.builds(
        lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
        st.integers(0, 1),
        st.lists(st.integers(0, 9), min_size=1, max_size=40).map(tuple),
        st.integers(-60, 60),
    ),
)
# In UTC no hour comes twice, so "fold" says nothing.
times = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0))


def values(hint):
    """Any value that a field annotated so may hold."""
    if get_origin(hint) in {Union, types.UnionType}:
        return st.one_of(*(values(each) for each in get_args(hint)))
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is Mapping:
        return st.dictionaries(texts, values(get_args(hint)[1]), max_size=3)
    if hint is types.NoneType:
        return st.none()
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    simple = {
        str: texts,
        Decimal: decimals,
        datetime: times,
        bool: st.booleans(),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False),
    }
    return simple[hint] if hint in simple else records(hint)


def records(kind):
    """Any record of a class."""
    hints = get_type_hints(kind)

    def make(held):
        try:
            return kind(**held)
        except ValueError:
            return None  # a reference to nothing, a change of nothing

    # What is not compared is a fact of one process, and stays there.
    told = [field.name for field in fields(kind) if field.compare]
    each = st.fixed_dictionaries({name: values(hints[name]) for name in told})
    return each.map(make).filter(lambda record: record is not None)


snapshots = st.builds(
    Snapshot,
    orders=st.none() | st.lists(records(Order), max_size=3).map(tuple),
    fills=st.none() | st.lists(records(Fill), max_size=3).map(tuple),
    positions=st.none() | st.lists(records(Position), max_size=3).map(tuple),
    balances=st.none() | st.lists(records(Balance), max_size=3).map(tuple),
    cursor=st.none() | texts,
)


def over_the_wire(message):
    """What is read of what was written."""
    return type(message).FromString(message.SerializeToString())


def exactly(record):
    """A record down to the signs of zeros and the exponents of numbers, which compare equal."""
    return repr(record)


@pytest.mark.parametrize("kind", CODECS, ids=lambda kind: kind.__name__)
def test_every_record_comes_back_exactly(kind):
    """
    Whatever a record holds, it comes out of the wire as it went in.
    """

    @settings(max_examples=part_of(25), deadline=None)
    @given(records(kind))
    def check(record):
        codec = CODECS[kind]
        back = codec.decode(over_the_wire(codec.encode(record)))
        assert back == record
        assert exactly(back) == exactly(record) or kind is HealthReport  # its checks are in no order

    check()


@settings(max_examples=part_of(25), deadline=None)
@given(snapshots, st.integers(1, 3))
def test_a_snapshot_comes_back_from_its_parts(snapshot, size):
    """
    However it is cut, and also where the venue cannot tell a list: an empty one is not an unknown one.
    """
    joiner = convert.Joiner()
    *early, last = [joiner.add(over_the_wire(part)) for part in convert.snapshot_parts(snapshot, size)]

    assert early == [None] * len(early)
    assert exactly(last) == exactly(snapshot)


payloads = st.one_of(
    snapshots, *(records(kind) for kind in (Order, Fill, Position, Balance, StatusChange, Heartbeat, Gap))
)


@settings(max_examples=part_of(40), deadline=None)
@given(st.builds(BrokerEvent, cursor=texts, time=times, generation=st.integers(0, 2**40), payload=payloads))
def test_every_event_comes_back_exactly(event):
    """
    Payload, cursor, time and generation; a snapshot in its parts, too.
    """
    joiner = convert.Joiner()
    *early, last = [
        convert.decode_event(over_the_wire(message), joiner) for message in convert.encode_event(event)
    ]

    assert early == [None] * len(early)
    assert exactly(last) == exactly(event)


@settings(max_examples=part_of(25), deadline=None)
@given(st.lists(records(Quote), max_size=6))
def test_quotes_in_columns_come_back_exactly(quotes):
    """
    A batch of quotes is those quotes, sides that nobody offers included.
    """
    back = convert.decode_quotes(over_the_wire(convert.encode_quotes(quotes)))

    assert exactly(back) == exactly(quotes)
    assert all(type(quote) is Quote for quote in back)


@given(times)
def test_times_are_exact_to_the_microsecond(time):
    """
    From the year 1 to 9999.
    """
    assert from_micros(to_micros(time)) == time


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (pb.Order(symbol="A", side=1, qty="many", status=2, type=1, tif=1), "Order.qty: is no number"),
        (pb.Order(symbol="A", side=1, status=2, type=1, tif=1), "Order.qty: is no number"),
        (pb.Order(symbol="A", qty="1", status=2, type=1, tif=1), "Order.side: 0 is no Side"),
        (pb.Order(symbol="A", side=1, qty="NaN", status=2, type=1, tif=1), "qty must be a finite number"),
        (pb.Order(symbol="A", side=9, qty="1", status=2, type=1, tif=1), "Order.side: 9 is no Side"),
        (
            pb.Order(symbol="A", side=1, qty="1", status=2, type=1, tif=1, expire_at=2**62),
            "Order.expire_at: is no number",
        ),
    ],
)
def test_what_is_no_record_is_refused_by_field(message, why):
    """
    A message of nonsense is one error that names the field, and nothing else.
    """
    full = pb.Order(filled_qty="0", leaves_qty="0", origin=1)
    full = pb.Order.FromString(full.SerializeToString() + message.SerializeToString())

    with pytest.raises(BadMessageError, match=why.replace(".", r"\.")):
        convert.ORDER.decode(full)


def test_a_reference_to_nothing_is_refused():
    """
    What the record itself refuses, the wire does not let in either.
    """
    with pytest.raises(BadMessageError, match="OrderRef: an OrderRef needs"):
        convert.REF.decode(pb.OrderRef())


@pytest.mark.parametrize(
    ("batch", "why"),
    [
        (pb.QuoteBatch(symbol=["A", "B"], bid=["1"]), "not of one length"),
        (
            pb.QuoteBatch(symbol=["A"], bid=["Infinity"], bid_size=[""], ask=[""], ask_size=[""], time=[0]),
            "finite",
        ),
        (
            pb.QuoteBatch(symbol=["A"], bid=["x"], bid_size=[""], ask=[""], ask_size=[""], time=[0]),
            "QuoteBatch",
        ),
        (
            pb.QuoteBatch(symbol=["A"], bid=[""], bid_size=[""], ask=[""], ask_size=[""], time=[2**62]),
            "Quote",
        ),
    ],
)
def test_a_batch_that_is_none_is_refused(batch, why):
    """
    Unequal columns, words that are no numbers, numbers that are no prices.
    """
    with pytest.raises(BadMessageError, match=why):
        convert.decode_quotes(batch)


def test_an_event_of_a_newer_server_is_passed_over():
    """
    A payload that is not known here is no event, and no error.
    """
    assert convert.decode_event(pb.BrokerEvent(cursor="e:1", time=0), convert.Joiner()) is None


def test_a_record_without_its_message_is_found_at_once():
    """
    A field that a record has and its message lacks cannot be forgotten: making the codec fails.
    """
    with pytest.raises(TypeError, match="OrderRef lacks qty"):
        Codec(OrderChange, pb.OrderRef)


def test_every_word_has_a_number():
    """
    The numbers of the wire are those of the words, and none is 0.
    """
    numbers = [convert.ORDER.encode(_order(status=status)).status for status in OrderStatus]

    assert sorted(numbers) == list(range(1, len(OrderStatus) + 1))


def _order(**facts):
    return Order(**{"symbol": "A", "side": Side.BUY, "qty": Decimal(1), "status": OrderStatus.NEW, **facts})


@pytest.mark.parametrize(("number", "sizes"), [(0, [0]), (2, [2]), (5, [2, 2, 1])])
def test_lists_are_cut_into_parts(number, sizes):
    """
    Nothing is one empty part; no part is longer than asked.
    """
    assert [len(part) for part in convert.in_parts(list(range(number)), 2)] == sizes
