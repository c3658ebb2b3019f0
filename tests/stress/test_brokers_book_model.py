"""A simple model plays against the book: whatever the venue says and when, no fill is lost or doubled."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hotplug.brokers._events._journal import FileJournal, read_journal
from hotplug.brokers._orders._book import Book
from hotplug.brokers._orders._held import Held, Phase
from hotplug.brokers._settings import OPERATOR
from hotplug.errors import BrokerError, Outcome
from hotplug.market import (
    ORDER_TRANSITIONS,
    Fill,
    Liquidity,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Side,
)
from thorough import part_of

QTY = 4
ACCOUNTS = ("A", "B")
Key = tuple[str, str]
KEYS = tuple((account, name) for name in "uvwxyz" for account in ACCOUNTS)
placed = st.runner().flatmap(lambda machine: st.sampled_from(sorted(machine.model)))
quantities = st.integers(0, QTY + 1).map(Decimal)
from_venue = st.sampled_from(
    [
        OrderStatus.NEW,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
        OrderStatus.REJECTED,
    ]
)


@dataclass
class Expected:
    """What should be known of one order."""

    filled: Decimal = Decimal(0)
    said: Decimal = Decimal(0)
    tied: bool = False
    trades: set[str] = field(default_factory=set)

    @property
    def total(self) -> Decimal:
        return max(self.filled, self.said)


def venue_id(key: Key) -> str:
    return f"v-{key[0]}-{key[1]}"


class BookAgainstModel(RuleBasedStateMachine):
    """The model: each order's sum of fills and the venue's figure; each account's sum of fills."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "book.jsonl"
        self.model: dict[Key, Expected] = {}
        self.flying: set[Key] = set()
        self.traded: dict[tuple[str, str], int] = {}
        self.sums: dict[str, Decimal] = dict.fromkeys(ACCOUNTS, Decimal(0))
        self.has_strays = False  # fills that were nobody's; their order may be known by that id later
        self.early: list[tuple[Key, str]] = []
        self.filled_before: dict[Key, Decimal] = {}
        self.rounds: Counter[Key] = Counter()
        self.book = Book("book", journal=FileJournal(self.path))
        self.place(refused=False)
        self.place(refused=True)

    def teardown(self) -> None:
        if hasattr(self, "book"):
            self.book.log.close()
            self.transitions_are_published()
            shutil.rmtree(self.folder)

    def held(self, key: Key) -> Held:
        held = self.book.get(*key)
        assert held is not None
        return held

    # -- placing -----------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model) < len(KEYS))
    @rule(refused=st.booleans())
    def place(self, refused: bool) -> None:
        """A new order is on its way; perhaps it was refused before it was sent, at first."""
        key = KEYS[len(self.model)]
        if refused:
            held = self.hold(key)
            self.book.not_sent(held, BrokerError("no", code="no", outcome="NOT_SENT"))
            assert self.book.get(*key) is None
        self.book.intend(self.hold(key))
        self.model[key] = Expected()
        self.flying.add(key)

    def hold(self, key: Key) -> Held:
        request = OrderRequest(
            symbol="X",
            side=Side.BUY,
            qty=Decimal(QTY),
            type=OrderType.LIMIT,
            price=Decimal(10),
            account=key[0],
            client_order_id=key[1],
        )
        return self.book.hold(request, key[0], OPERATOR.attribution)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), answer=st.sampled_from(["id", "id", "no id", "refused", "lost"]))
    def answer(self, data: st.DataObject, answer: str) -> None:
        """``_place`` comes back, however it does."""
        key = data.draw(st.sampled_from(sorted(self.flying)))
        held, expected = self.held(key), self.model[key]
        known = held.ack is not None or not held.is_open
        if answer in {"id", "no id"}:
            self.book.accepted(held, venue_id(key) if answer == "id" else None)
            expected.tied |= answer == "id"
        elif known:
            self.book.accepted(held, None)
        elif answer == "refused":
            self.book.refused(held, BrokerError("no", code="no", outcome="REJECTED"))
        else:
            self.book.doubted(held, BrokerError("?", code="?", outcome="UNKNOWN"))
        self.book.landed(held)
        self.flying.discard(key)
        self.early_fills_find_their_orders()
        assert held.phase is not Phase.SENDING or held.order.status is OrderStatus.PENDING_CANCEL

    def early_fills_find_their_orders(self) -> None:
        waiting, self.early = self.early, []
        for key, trade in waiting:
            if self.model[key].tied:
                self.fill_counts(key, trade)
            elif self.flying:
                self.early.append((key, trade))
            else:
                self.trade_counts(key, trade)
                self.has_strays = True

    # -- what the venue says -----------------------------------------------------------------------

    @precondition(lambda self: self.model)
    @rule(key=placed, number=st.integers(0, 2), way=st.sampled_from(["name", "venue id", "both"]))
    def fill(self, key: Key, number: int, way: str) -> None:
        """A fill: early, late, again, by its name here or there."""
        expected, trade = self.model[key], f"t{number}-{key[1]}-{self.rounds[key]}"
        self.book.fill(
            Fill(
                trade_id=trade,
                order_id=None if way == "name" else venue_id(key),
                client_order_id=None if way == "venue id" else key[1],
                account=key[0],
                symbol="X",
                side=Side.BUY,
                qty=Decimal(1),
                price=Decimal(10),
                fee=Decimal(0),
                fee_currency="USD",
                liquidity=Liquidity.TAKER,
                time=datetime.now(UTC),
            )
        )
        if (key[0], trade) in self.traded:
            return
        if way == "venue id" and not expected.tied:
            if self.flying:
                self.early.append((key, trade))
            else:
                self.trade_counts(key, trade)
                self.has_strays = True
            return
        expected.tied |= way == "both"
        self.fill_counts(key, trade)
        self.early_fills_find_their_orders()

    def fill_counts(self, key: Key, trade: str) -> None:
        if (key[0], trade) not in self.traded:
            self.model[key].filled += 1
            self.trade_counts(key, trade)

    def trade_counts(self, key: Key, trade: str) -> None:
        if (key[0], trade) not in self.traded:
            self.traded[key[0], trade] = 1
            self.sums[key[0]] += 1

    @precondition(lambda self: self.model)
    @rule(
        key=placed,
        status=from_venue,
        filled=st.none() | quantities,
        named=st.booleans(),
        known_as=st.booleans(),
    )
    def update(
        self, key: Key, status: OrderStatus, filled: Decimal | None, named: bool, known_as: bool
    ) -> None:
        """A report of its state, with the venue's own figure or without; late, early, contradictory."""
        held, expected = self.held(key), self.model[key]
        by_id = (known_as and named) or (not named and expected.tied)
        if filled is not None:
            expected.said = max(expected.said, filled)
        elif status is OrderStatus.FILLED:
            expected.said = max(expected.said, held.order.qty)
        self.book.update(
            OrderUpdate(
                client_order_id=key[1] if named or not by_id else None,
                order_id=venue_id(key) if by_id else None,
                account=key[0],
                status=status,
                filled_qty=filled,
            )
        )
        expected.tied |= by_id
        self.early_fills_find_their_orders()

    @precondition(lambda self: self.model)
    @rule(key=placed, filled=quantities)
    def correct(self, key: Key, filled: Decimal) -> None:
        """The venue takes back what it said was filled."""
        expected = self.model[key]
        self.sums[key[0]] += filled - expected.filled
        expected.filled = expected.said = filled
        self.filled_before.pop(key, None)
        status = self.held(key).order.status
        self.book.update(
            OrderUpdate(
                client_order_id=key[1], account=key[0], status=status, filled_qty=filled, correction=True
            )
        )

    @precondition(lambda self: self.model)
    @rule(key=placed, status=from_venue, filled=quantities)
    def snapshot(self, key: Key, status: OrderStatus, filled: Decimal) -> None:
        """The whole order, as the venue has it."""
        expected, mine = self.model[key], self.held(key).order
        expected.said, expected.tied = max(expected.said, filled), True
        theirs = Order(
            symbol="X",
            side=Side.BUY,
            qty=mine.qty,
            type=OrderType.LIMIT,
            price=Decimal(10),
            account=key[0],
            client_order_id=key[1],
            order_id=venue_id(key),
            status=status,
            filled_qty=filled,
        )
        self.book.recognise(theirs, default_account="A")
        self.book.merge(theirs, default_account="A")
        self.early_fills_find_their_orders()

    # -- cancels, changes, operators ---------------------------------------------------------------

    @precondition(lambda self: self.model)
    @rule(key=placed, accepted=st.booleans())
    def cancel(self, key: Key, accepted: bool) -> None:
        """A cancel is asked for; the venue takes it or refuses."""
        held = self.held(key)
        held.cancel_wanted = True
        self.book.mark(held, OrderStatus.PENDING_CANCEL, note="cancel")
        if accepted:
            held.cancel_accepted = True
        elif key not in self.flying:
            held.cancel_wanted = False
            self.book.back(held, note="cancel refused")

    @precondition(lambda self: self.model)
    @rule(
        key=placed,
        qty=st.integers(1, QTY + 2).map(Decimal),
        answer=st.sampled_from(["done", "refused", "none"]),
    )
    def modify(self, key: Key, qty: Decimal, answer: str) -> None:
        """Another quantity is asked for, and given or not."""
        held = self.held(key)
        if held.order.status not in {OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED}:
            return
        version = held.order.version
        self.book.mark(held, OrderStatus.PENDING_REPLACE, note="modify")
        held.asked_qty = qty
        if answer == "done":
            self.book.changed(held, None, {"qty": qty})
            assert held.order.version == version + 1
            assert held.order.qty == qty
        elif answer == "refused":
            self.book.back(held, note="modify refused")

    @precondition(lambda self: self.model)
    @rule(key=placed, final=st.booleans())
    def not_found(self, key: Key, final: bool) -> None:
        """The venue was asked for it, and does not know it."""
        if key not in self.flying:
            self.book.not_found(self.held(key), final=final)

    @precondition(lambda self: self.model)
    @rule(key=placed, status=from_venue)
    def resolve(self, key: Key, status: OrderStatus) -> None:
        """An operator says what became of an UNKNOWN one."""
        if self.held(key).order.status is OrderStatus.UNKNOWN:
            assert self.book.resolve(self.held(key), status, "seen") == (
                status in ORDER_TRANSITIONS[OrderStatus.UNKNOWN]
            )

    # -- the end of the process --------------------------------------------------------------------

    @rule(outgrown=st.booleans())
    def restart(self, outgrown: bool) -> None:
        """Another process opens the journal, and begins it anew where it is too long: all is known."""
        before = {key: self.held(key).order for key in self.model}
        self.book.log.close()
        self.transitions_are_published()
        most = 0 if outgrown and not self.has_strays else 10**9
        self.book = Book("book", journal=FileJournal(self.path, max_bytes=most))
        self.flying.clear()
        self.early.clear()  # nobody was told of them: the venue will tell again
        for key, was in before.items():
            held = self.held(key)
            order = held.order
            assert order.status is (was.status if was.status.terminal else OrderStatus.UNKNOWN)
            assert (order.order_id, order.qty, order.version) == (was.order_id, was.qty, was.version)
            expected = self.model[key]
            expected.said = max(expected.said, expected.total)
            if was.status is OrderStatus.UNKNOWN or not was.status.terminal:
                assert held.error is not None
                assert held.error.outcome is Outcome.UNKNOWN

    # -- what is always so -------------------------------------------------------------------------

    @invariant()
    def no_fill_is_lost_or_counted_twice(self) -> None:
        for key, expected in self.model.items():
            assert self.held(key).order.filled_qty == expected.total, key
        fills = Counter((fill.account, fill.trade_id) for fill in self.book.fills())
        assert fills == self.traded

    @invariant()
    def what_was_filled_never_shrinks(self) -> None:
        for key in self.model:
            order = self.held(key).order
            assert order.filled_qty >= self.filled_before.get(key, Decimal(0)), key
            self.filled_before[key] = order.filled_qty
            left = Decimal(0) if order.status.terminal else max(Decimal(0), order.qty - order.filled_qty)
            assert order.leaves_qty == left

    @invariant()
    def positions_are_sums_of_fills(self) -> None:
        found = {position.account: position.qty for position in self.book.positions.all()}
        for account in ACCOUNTS:
            assert found.get(account, Decimal(0)) == self.sums[account]

    @invariant()
    def what_has_not_ended_is_open(self) -> None:
        wanted = {key for key in self.model if not self.held(key).order.status.terminal}
        assert {held.key for held in self.book.open()} == wanted
        for account in ACCOUNTS:
            assert self.book.open_count(account) == sum(key[0] == account for key in wanted)
        assert len(self.book) == len(self.model)
        assert self.book.in_flight == len(self.flying)

    @invariant()
    def there_is_one_answer(self) -> None:
        for key in self.model:
            held = self.held(key)
            if held.phase is Phase.SETTLED:
                assert held.ack is not None or held.error is not None, key
                assert held.error is None or held.order.status is OrderStatus.REJECTED, key
            elif held.phase is Phase.UNKNOWN:
                assert held.error is not None or held.ack is not None, key

    def transitions_are_published(self) -> None:
        """Read the journal from its beginning: each order went only where the table lets it."""
        last: dict[Key, OrderStatus] = {}
        for line in read_journal(self.path):
            if line["event"] != "Order":
                continue
            payload: dict[str, Any] = line["payload"]
            key, status = (payload["account"], payload["client_order_id"]), OrderStatus(payload["status"])
            before = last.get(key)
            if before is None and line["note"] == "carried":
                pass  # what came before stands in the journal that was put aside
            elif before is None or before is OrderStatus.DENIED:
                assert status in {OrderStatus.PENDING_NEW, OrderStatus.DENIED}
            else:
                assert status is before or status in ORDER_TRANSITIONS[before], (key, before, status)
            last[key] = status


BookAgainstModel.TestCase.settings = settings(
    max_examples=part_of(120),
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestBookAgainstModel = BookAgainstModel.TestCase
