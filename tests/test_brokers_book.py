"""The book of orders: what it must not forget, whatever comes first."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from hotplug.brokers._events._journal import FileJournal
from hotplug.brokers._orders._book import Book
from hotplug.brokers._orders._held import Held, Phase
from hotplug.brokers._settings import OPERATOR
from hotplug.errors import OrderDenied, Outcome
from hotplug.market import Balance, OrderStatus, OrderUpdate, Side
from puppets import fill, limit, order_at_venue


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "book.jsonl"


@pytest.fixture
def restarted(journal):
    """Opens a book on the journal; the one before is closed."""
    books: list[Book] = []

    def restart(**options) -> Book:
        for book in books:
            book.log.close()
        books.append(Book("book", journal=FileJournal(journal, **options)))
        return books[-1]

    yield restart
    for book in books:
        book.log.close()


def sending(book: Book, name: str = "a") -> Held:
    """An order whose ``_place`` was entered."""
    held = book.hold(limit(name), "default", OPERATOR.attribution)
    book.intend(held)
    return held


def answered(book: Book, held: Held, order_id: str | None) -> None:
    book.accepted(held, order_id)
    book.landed(held)


def test_an_id_that_comes_after_the_fills_is_known_after_a_restart(restarted):
    """Filled before its ack, an order is told of once more with its id: the journal knows it by that."""
    book = restarted()
    held = sending(book)
    book.fill(fill(qty=2))
    assert held.order.status is OrderStatus.FILLED
    answered(book, held, "v-a")
    told = list(book.log.past())[-1]

    assert (told.order_id, told.status) == ("v-a", OrderStatus.FILLED)
    assert restarted().get("default", "a").order.order_id == "v-a"


def test_who_gave_up_waiting_is_not_woken(restarted):
    """Of those who wait for an answer, who gave up before it came is left alone."""

    async def story():
        held = sending(restarted())
        gone, here = (asyncio.get_running_loop().create_future() for _ in range(2))
        held.waiters += [gone, here]
        gone.cancel()
        held.wake()
        assert gone.cancelled()
        assert here.done()

    asyncio.run(story())


def test_a_denied_order_is_none_after_a_restart(restarted):
    """What was denied before it was sent is in the journal, and no order of the book: its id is free."""
    book = restarted()
    held = book.hold(limit("a"), "default", OPERATOR.attribution)
    book.not_sent(held, OrderDenied("too large", code="limit"))

    again = restarted()

    assert again.get("default", "a") is None
    assert again.hold(limit("a"), "default", OPERATOR.attribution).order.status is OrderStatus.PENDING_NEW


@pytest.mark.parametrize(
    "says",
    [
        lambda book: book.update(
            OrderUpdate(client_order_id="a", order_id="v-a", account="default", status=OrderStatus.NEW)
        ),
        lambda book: book.merge(order_at_venue(), default_account="default"),
        lambda book: (
            book.recognise(order_at_venue(), default_account="default"),
            book.merge(order_at_venue(), default_account="default"),
        ),
    ],
)
def test_an_id_that_is_all_the_news_is_an_event_once(restarted, says):
    """Reported without any change but its id, an order is told of with it, and not again."""
    book = restarted()
    answered(book, sending(book), None)
    before = len(list(book.log.past()))
    says(book)
    says(book)

    assert len(list(book.log.past())) == before + 1
    assert restarted().named(None, "v-a")[0].key == ("default", "a")


def test_an_id_that_comes_with_a_change_after_the_end_is_told(restarted):
    """A change that is answered when its order has ended already still tells of the new id."""
    book = restarted()
    held = sending(book)
    answered(book, held, "v-1")
    book.mark(held, OrderStatus.PENDING_REPLACE, note="modify")
    book.fill(fill(qty=2))
    book.changed(held, "v-2", {"qty": Decimal(3)})

    again = restarted().get("default", "a").order
    assert (again.order_id, again.status) == ("v-2", OrderStatus.FILLED)


@pytest.mark.parametrize("max_bytes", [0, 10**9])
def test_a_correction_outlives_restarts(restarted, max_bytes):
    """What the venue took back stays taken back, also in a journal begun anew, and later fills add up."""
    book = restarted(max_bytes=max_bytes)
    held = sending(book)
    answered(book, held, "v-a")
    book.fill(fill(trade="t1"))
    book.update(
        OrderUpdate(
            client_order_id="a",
            account="default",
            status=OrderStatus.NEW,
            filled_qty=Decimal(0),
            avg_price=Decimal(10),
            correction=True,
        )
    )
    for _ in range(3):
        book = restarted(max_bytes=max_bytes)
        assert book.get("default", "a").order.filled_qty == 0
        assert [position.qty for position in book.positions.all()] == [0]

    book.fill(fill(trade="t2"))
    assert book.get("default", "a").order.filled_qty == 1
    assert [position.qty for position in book.positions.all()] == [1]


def test_a_refusal_that_overtakes_the_ack_is_the_answer(restarted):
    """Rejected by report while a cancel is wanted and ``_place`` is under way: who waits is told."""
    book = restarted()
    held = sending(book)
    held.cancel_wanted = True
    book.mark(held, OrderStatus.PENDING_CANCEL, note="cancel")
    book.update(OrderUpdate(client_order_id="a", status=OrderStatus.REJECTED, reason="too late"))
    answered(book, held, "v-a")

    assert held.phase is Phase.SETTLED
    assert held.ack is None
    assert (held.error.outcome, held.error.message) == (Outcome.REJECTED, "too late")


@pytest.mark.parametrize("way", ["update", "snapshot", "fill"])
def test_early_fills_find_their_order_as_soon_as_its_id_is_known(restarted, way):
    """Fills by the venue's id alone wait for that id, not for every other order that is under way."""
    book = restarted()
    held, other = sending(book), sending(book, "b")
    book.fill(fill(None, order_id="v-a", trade="early"))
    assert held.order.filled_qty == 0
    if way == "update":
        book.update(OrderUpdate(client_order_id="a", order_id="v-a", status=OrderStatus.NEW))
    elif way == "snapshot":
        book.merge(order_at_venue(), default_account="default")
    else:
        book.fill(fill(order_id="v-a", trade="later"))

    assert held.order.filled_qty == (2 if way == "fill" else 1)
    assert other.order.filled_qty == 0
    assert not next(book.fills()).late


def test_sums_are_exact_in_any_decimal_context():
    """What adds up rounds nothing, whatever the caller's context; averages have 28 digits."""
    qty = "12345678901234567890.123456789012345678"
    with localcontext(prec=3):
        book = Book("book")
        held = book.hold(limit("a", qty=qty), "default", OPERATOR.attribution)
        book.intend(held)
        answered(book, held, "v-a")
        price, higher = Decimal("10.1234567"), Decimal("11.1234567")
        book.fill(fill(qty="12345678901234567890", price=price))
        left = held.order.leaves_qty
        book.fill(fill(qty="0.123456789012345677", price=price, trade="t2"))
        book.fill(fill(None, qty="1.00001", trade="sold", side=Side.SELL, price=higher))
        [position] = book.positions.all()

    order = held.order
    assert (str(order.filled_qty), order.status) == (qty[:-1] + "7", OrderStatus.PARTIALLY_FILLED)
    assert (str(left), str(order.leaves_qty)) == ("0.123456789012345678", "1E-18")
    assert (order.avg_price, position.avg_price) == (price, price)
    assert str(position.qty) == "12345678901234567889.123446789012345677"
    assert position.realized_pnl == Decimal("1.00001")


def test_events_have_the_time_of_their_account(journal):
    """A simulated venue has a time of its own: what happens there is the same each time, that included."""
    then = datetime(2024, 1, 2, tzinfo=UTC)
    book = Book("book", journal=FileJournal(journal))
    book.time_of = lambda account: then
    held = sending(book)
    answered(book, held, "v-a")
    book.fill(fill())
    book.balance(Balance(account="default", currency="USD", total=1, available=1, locked=0))

    times = [line["time"] for line in book.log.lines() if line["event"] != "open"]
    book.log.close()
    assert set(times) == {then.isoformat().replace("+00:00", "Z")}
    assert len(times) == 5
