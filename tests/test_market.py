"""Records let in exact money and UTC times only, and the words of orders follow published tables."""

from __future__ import annotations

import copy
import dataclasses
import decimal
import pickle
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from hotplug import market
from hotplug.market import (
    GATEWAY_TRANSITIONS,
    ORDER_TRANSITIONS,
    Bar,
    BrokerEvent,
    Fill,
    Gap,
    GatewayStatus,
    HealthReport,
    HealthState,
    Instrument,
    Order,
    OrderChange,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Position,
    Quote,
    RateLimit,
    RateLimitSeen,
    Side,
    Snapshot,
    StatusChange,
    TimeInForce,
    to_decimal,
    to_utc,
)

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
BAR = {"symbol": "A", "time": NOON, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 3}
FILL = {
    "trade_id": "T1",
    "order_id": "1",
    "client_order_id": "c",
    "account": "a",
    "symbol": "A",
    "side": Side.BUY,
    "qty": Decimal(1),
    "price": Decimal(2),
    "fee": Decimal(0),
    "fee_currency": "USD",
    "liquidity": market.Liquidity.TAKER,
    "time": NOON,
}
RECORDS = [
    Bar(**BAR),
    Fill(**FILL),
    OrderRequest(symbol="A", side=Side.BUY, qty=1),
    OrderRef(order_id="1"),
    OrderChange(qty=1),
    Order(symbol="A", side=Side.BUY, qty=1, status=OrderStatus.NEW),
    Position(account="a", symbol="A", qty=1, avg_price=2, realized_pnl=0),
    Quote(symbol="A", bid=1, bid_size=1, ask=None, ask_size=None, time=NOON),
    Instrument(symbol="A", tick_size=1, lot_size=1),
    BrokerEvent(cursor="e:1", time=NOON, generation=0, payload=Gap(after=None, before="e:1")),
]


# -- money -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.5, 1.0, float("nan"), "1.5", True, None, 1j])
def test_money_is_decimal_or_int(value):
    """
    A float, a str, a bool or nothing for money is a TypeError that names the field.
    """
    with pytest.raises(TypeError, match=r"qty must be a Decimal"):
        OrderRequest(symbol="A", side=Side.BUY, qty=value)


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_money_is_finite(value):
    """
    NaN and infinity are refused wherever money stands, optional or not.
    """
    for record in ("qty", "price"):
        arguments = {"symbol": "A", "side": Side.BUY, "qty": 1, record: Decimal(value)}
        with pytest.raises(ValueError, match=f"{record} must be a finite number"):
            OrderRequest(**arguments)


def test_an_int_becomes_exact_money():
    """
    An int is taken for what it is, and stands as a Decimal afterwards.
    """
    request = OrderRequest(symbol="A", side=Side.BUY, qty=3, type=OrderType.LIMIT, price=2)

    assert (type(request.qty), request.qty) == (Decimal, Decimal(3))
    assert (type(request.price), request.price) == (Decimal, Decimal(2))


def test_the_float_error_says_what_would_help():
    """
    Who passes a float learns how to write it.
    """
    with pytest.raises(TypeError, match=r"Decimal\('0\.1'\): a float is not exact"):
        to_decimal("price", 0.1)


@pytest.mark.parametrize("kind", [Bar, Fill, OrderRequest, OrderChange, Order, Position, Quote, Instrument])
def test_every_decimal_field_is_guarded(kind):
    """
    There is no field for money in any record through which a float comes in.
    """
    example = next(each for each in RECORDS if type(each) is kind)
    money = [each.name for each in dataclasses.fields(kind) if "Decimal" in each.type]

    assert money
    for name in money:
        with pytest.raises(TypeError, match=f"{name} must be a Decimal"):
            dataclasses.replace(example, **{name: 1.5})


# -- time ------------------------------------------------------------------------------------------


def test_times_say_that_they_are_utc():
    """
    Naive times and other zones are refused, and told apart.
    """
    with pytest.raises(ValueError, match="naive"):
        to_utc("time", datetime(2024, 1, 2))  # noqa: DTZ001 - the point of the test
    with pytest.raises(ValueError, match="must be in UTC"):
        to_utc("time", datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    with pytest.raises(TypeError, match="time must be a datetime in UTC, not date"):
        to_utc("time", NOON.date())


def test_another_name_for_utc_is_utc():
    """
    A zone without an offset is the same instant, and stands as datetime.UTC afterwards.
    """
    bar = Bar(**BAR | {"time": NOON.replace(tzinfo=ZoneInfo("UTC"))})

    assert bar.time == NOON
    assert bar.time.tzinfo is UTC


@pytest.mark.parametrize(
    ("kind", "arguments", "field"),
    [
        (Bar, BAR, "time"),
        (Fill, FILL, "time"),
        (OrderRequest, {"symbol": "A", "side": Side.BUY, "qty": 1}, "expire_at"),
        (Order, {"symbol": "A", "side": Side.BUY, "qty": 1, "status": OrderStatus.NEW}, "updated_at"),
        (OrderUpdate, {"status": OrderStatus.NEW}, "time"),
        (RateLimitSeen, {"name": "orders"}, "reset_at"),
        (
            RateLimit,
            {"name": "o", "scope": "key", "limit": 1, "window": 1.0, "used": 0, "remaining": 1},
            "reset_at",
        ),
        (HealthReport, {"status": HealthState.HEALTHY, "max_age": 1.0}, "checked_at"),
        (BrokerEvent, {"cursor": "e:1", "generation": 0, "payload": Gap(after=None, before="e:1")}, "time"),
    ],
)
def test_every_time_is_guarded(kind, arguments, field):
    """
    A naive time is refused by every record that has one, and a UTC time is kept.
    """
    with pytest.raises(ValueError, match=f"{field} must say its zone"):
        kind(**arguments | {field: datetime(2024, 1, 2)})  # noqa: DTZ001
    assert getattr(kind(**arguments | {field: NOON}), field) == NOON


# -- records ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_values(record):
    """
    A record is frozen, slotted and hashable, and a copy or a pickle of it is equal to it.
    """
    field = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, field, None)
    assert not hasattr(record, "__dict__")
    assert copy.deepcopy(record) == record == pickle.loads(pickle.dumps(record))
    assert hash(copy.deepcopy(record)) == hash(record)


@pytest.mark.parametrize("kind", [each for each in vars(market).values() if dataclasses.is_dataclass(each)])
def test_records_take_keywords_only(kind):
    """
    No record can be made by position, so no field can be mistaken for another.
    """
    assert all(each.kw_only for each in dataclasses.fields(kind))
    assert "__slots__" in vars(kind)


def test_each_request_has_an_id_of_its_own():
    """
    Two requests made alike are two orders; their ids are 32 hexadecimal digits.
    """
    ids = {OrderRequest(symbol="A", side=Side.BUY, qty=1).client_order_id for _ in range(100)}

    assert len(ids) == 100
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)


@pytest.mark.parametrize("field", ["side", "type", "tif"])
def test_words_are_words(field):
    """
    A str that looks like a word is not taken for it: the checker of the caller would not see a typo.
    """
    with pytest.raises(TypeError, match=f"{field} must be a "):
        OrderRequest(**{"symbol": "A", "side": Side.BUY, "qty": 1} | {field: "BUY"})


def test_tags_are_strings_in_a_tuple():
    """
    Any iterable of strings becomes a tuple; one bare string, or something else in it, is a TypeError.
    """
    request = OrderRequest(symbol="A", side=Side.BUY, qty=1, tags=["x", "y"])  # type: ignore[arg-type]

    assert request.tags == ("x", "y")
    for wrong in ("xy", [1]):
        with pytest.raises(TypeError, match="tags must be strings in a tuple"):
            dataclasses.replace(request, tags=wrong)


def test_a_reference_names_something():
    """
    A reference without an id, and a change of nothing, are refused.
    """
    with pytest.raises(ValueError, match="client_order_id or an order_id"):
        OrderRef()
    with pytest.raises(ValueError, match="qty, a price or a stop_price"):
        OrderChange()


@pytest.mark.parametrize(
    ("status", "leaves"), [(OrderStatus.NEW, 7), (OrderStatus.UNKNOWN, 7), (OrderStatus.CANCELED, 0)]
)
def test_what_is_left_of_an_order_is_derived(status, leaves):
    """
    Left is what is not filled, and nothing once the order has ended; what is said goes first.
    """
    order = Order(symbol="A", side=Side.BUY, qty=10, filled_qty=3, status=status)

    assert order.leaves_qty == leaves
    assert dataclasses.replace(order, leaves_qty=Decimal(5)).leaves_qty == 5


def test_what_is_left_is_exact_in_any_decimal_context():
    """
    Whoever made its task round all that is reckoned there rounds no order.
    """
    with decimal.localcontext(prec=3):
        order = Order(symbol="A", side=Side.BUY, qty=123456, filled_qty=1, status=OrderStatus.NEW)

    assert order.leaves_qty == 123455


def test_what_a_snapshot_holds_cannot_be_changed():
    """
    It keeps tuples of its own, whatever it was made of; ``None`` stays what the venue cannot tell.
    """
    fills = [Fill(**FILL)]
    shot = Snapshot(orders=[], fills=fills, positions=iter(()), balances=None, cursor=None)
    fills.clear()

    assert (shot.orders, len(shot.fills), shot.positions, shot.balances) == ((), 1, (), None)
    assert hash(shot) == hash(dataclasses.replace(shot))


def test_the_clock_of_a_process_is_nobodys_difference():
    """
    Two status changes that say the same are the same, whenever they were.
    """
    now, later = (
        StatusChange(old=GatewayStatus.CREATED, new=GatewayStatus.CONNECTING, reason="go", monotonic_ns=when)
        for when in (None, 5)
    )

    assert now == later
    assert hash(now) == hash(later)


def test_an_order_names_itself():
    """
    The reference of an order carries both its ids.
    """
    order = Order(symbol="A", side=Side.BUY, qty=1, status=OrderStatus.NEW, client_order_id="c", order_id="7")

    assert order.ref == OrderRef(client_order_id="c", order_id="7")


def test_the_checks_of_a_report_cannot_be_changed():
    """
    A health report keeps its own copy of its checks, read-only.
    """
    checks = {"transport": HealthState.HEALTHY}
    report = HealthReport(status=HealthState.HEALTHY, checks=checks, checked_at=NOON, max_age=1.0)
    checks["transport"] = HealthState.UNHEALTHY

    assert report.checks["transport"] is HealthState.HEALTHY
    with pytest.raises(TypeError):
        report.checks["auth"] = HealthState.HEALTHY  # type: ignore[index]


# -- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Side, OrderType, TimeInForce, OrderStatus, GatewayStatus])
def test_words_print_as_themselves(kind):
    """
    The value of a word is its name, so that text, JSON and code agree.
    """
    assert [str(each) for each in kind] == [each.name for each in kind]


def test_every_state_stands_in_its_table():
    """
    The published tables know every state, lead only to states, and cannot be changed.
    """
    for table, states in ((ORDER_TRANSITIONS, OrderStatus), (GATEWAY_TRANSITIONS, GatewayStatus)):
        assert set(table) == set(states)
        assert all(after <= set(states) for after in table.values())
        with pytest.raises(TypeError):
            table[next(iter(states))] = frozenset()  # type: ignore[index]


def test_what_has_ended_stays_ended():
    """
    Terminal states lead nowhere, all others lead to an end; UNKNOWN is one of the others.
    """
    for status in OrderStatus:
        assert status.terminal == (not ORDER_TRANSITIONS[status])
    assert not OrderStatus.UNKNOWN.terminal
    for status in OrderStatus:
        assert status.terminal or any(after.terminal for after in ORDER_TRANSITIONS[status])


def test_only_what_was_never_sent_is_denied():
    """
    DENIED follows nothing but PENDING_NEW: what a venue has seen was not refused here.
    """
    before = {state for state, after in ORDER_TRANSITIONS.items() if OrderStatus.DENIED in after}

    assert before == {OrderStatus.PENDING_NEW}


def test_a_gateway_is_ready_only_after_it_has_synced():
    """
    No way leads from CREATED, CONNECTING or RECONNECTING to READY but through SYNCING.
    """
    before = {state for state, after in GATEWAY_TRANSITIONS.items() if GatewayStatus.READY in after}

    assert before == {GatewayStatus.SYNCING, GatewayStatus.DEGRADED, GatewayStatus.DRAINING}


def test_every_gateway_can_be_left_and_entered_again():
    """
    From every state a gateway can come to DISCONNECTED, and from there to READY.
    """
    for state in GatewayStatus:
        reached, front = {state}, {state}
        while front := {after for each in front for after in GATEWAY_TRANSITIONS[each]} - reached:
            reached |= front
        assert {GatewayStatus.DISCONNECTED, GatewayStatus.READY} <= reached
