"""Nothing is made or lost, and everything happens again the same way: thousands of random orders."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotplug.errors import BrokerError
from hotplug.market import (
    Bar,
    Fill,
    OrderChange,
    OrderRequest,
    OrderType,
    OrderUpdate,
    Quote,
    Side,
    TimeInForce,
)
from hotplug_broker_paper._venue import Venue
from hotplug_broker_paper._venue_rules import Rules
from thorough import part_of

D = Decimal
START = datetime(2024, 1, 2, tzinfo=UTC)
SIGN = {Side.BUY: 1, Side.SELL: -1}
CASH = D(50_000)
ACCOUNTS = ("default", "ada", "bob")
SYMBOLS = ("A", "B")

COSTS = {
    "maker_fee": D("-0.00013"),
    "taker_fee": D("0.00137"),
    "min_fee": D("0.35"),
    "slippage": D("0.0003"),
}
SLOW = {"ack_latency": (0.0, 40.0), "fill_latency": 5.0, "cancel_latency": (0.0, 90.0), "reject_rate": 0.05}


class Play:
    """A random play on one venue: what is done is a function of *dice*, what was said of the venue."""

    def __init__(self, dice, steps, **rules):
        self.random = random.Random(dice)
        self.said, self.placed, self.refused = [], [], Counter()
        self.venue = Venue(Rules(cash=CASH, **rules), self.said.append, clock=lambda: START)
        for account in ACCOUNTS[1:]:
            self.venue.open_account(account)
        self.prices = dict.fromkeys(SYMBOLS, D(100))
        self.orders = 0
        for self.step in range(steps):
            self.move()
            self.look()

    def move(self):
        dice = self.random.random()
        if dice < 0.72:
            self.place()
        elif dice < 0.78 and self.placed:
            self.venue.cancel(self.random.choice(self.placed[-50:]))
        elif dice < 0.84 and self.placed:
            self.change(self.random.choice(self.placed[-50:]))
        else:
            self.market()

    def around(self, symbol):
        return max(self.prices[symbol] + D(self.random.randint(-300, 300)) / 100, D("0.01"))

    def place(self):
        self.orders += 1
        pick = self.random.choice
        symbol, kind, tif = pick(SYMBOLS), pick(list(OrderType)), pick(list(TimeInForce))
        request = OrderRequest(
            symbol=symbol,
            side=pick(list(Side)),
            qty=D(self.random.randint(1, 400_000)) / 10_000,
            type=kind,
            price=self.around(symbol) if kind in {OrderType.LIMIT, OrderType.STOP_LIMIT} else None,
            stop_price=self.around(symbol) if kind in {OrderType.STOP, OrderType.STOP_LIMIT} else None,
            tif=tif,
            expire_at=self.now(self.random.randint(1, 30)) if tif is TimeInForce.GTD else None,
            account=pick(ACCOUNTS),
            client_order_id=f"{self.orders}",
            reduce_only=self.random.random() < 0.1,
        )
        try:
            self.placed.append(self.venue.place(request))
        except BrokerError as error:
            self.refused[error.code] += 1

    def change(self, standing):
        price = self.around(standing.symbol) if standing.price is not None else None
        try:
            self.venue.modify(
                standing, OrderChange(qty=D(self.random.randint(1, 400_000)) / 10_000, price=price)
            )
        except BrokerError as error:
            self.refused[error.code] += 1

    def now(self, ahead=0):
        return START + timedelta(minutes=self.step + ahead)

    def market(self):
        symbol, before = self.random.choice(SYMBOLS), len(self.said)
        if self.random.random() < 0.5:
            volume, low, high, fed = self.bar(symbol)
        else:
            volume, low, high, fed = self.quote(symbol)
        fills = [each for each in self.said[before:] if isinstance(each, Fill)]
        self.check_liquidity(fills, volume, low, high)
        assert tuple(fills) == fed

    def bar(self, symbol):
        prices = [self.around(symbol) for _ in range(4)]
        volume = D(self.random.randint(0, 100))
        bar = Bar(
            symbol=symbol,
            time=self.now(),
            open=prices[0],
            high=max(prices),
            low=min(prices),
            close=prices[1],
            volume=volume,
        )
        self.prices[symbol] = bar.close
        return volume, bar.low, bar.high, self.venue.feed_bar(bar)

    def quote(self, symbol):
        bid, spread = self.around(symbol), D(self.random.randint(0, 50)) / 100
        sizes = [D(self.random.randint(0, 60)) for _ in range(2)]
        quote = Quote(
            symbol=symbol,
            bid=bid,
            bid_size=sizes[0],
            ask=bid + spread,
            ask_size=sizes[1],
            time=self.now(),
        )
        return sum(sizes), None, None, self.venue.feed_quote(quote)

    # -- what must be so ---------------------------------------------------------------------------

    def check_liquidity(self, fills, volume, low, high):
        rules = self.venue.rules
        traded = defaultdict(D)
        for fill in fills:
            traded["" if rules.shared else fill.account] += fill.qty
            if low is not None and not rules.slippage:
                assert low <= fill.price <= high
        assert all(qty <= volume for qty in traded.values())

    def look(self):
        """After each step: every account's pockets are zero together, and what is locked is accounted for."""
        for account in self.venue.accounts.values():
            assert sum(account.ledger.pockets().values()) == 0
            still = list(account.open_orders())
            assert account.locked == sum((each.locked for each in still), D(0))
            for side, closing in ((True, account._buying), (False, account._selling)):
                for symbol, qty in closing.items():
                    mine = (each.closing for each in still if each.symbol == symbol and each.buying is side)
                    assert qty == sum(mine, D(0))

    def check_sums(self):
        """Cash, fees, positions and orders are what the fills add up to, to the last digit."""
        fills = [each for each in self.said if isinstance(each, Fill)]
        assert len({(each.account, each.trade_id) for each in fills}) == len(fills)
        for account in self.venue.accounts.values():
            mine = [each for each in fills if each.account == account.name]
            spent = sum((SIGN[each.side] * each.qty * each.price + each.fee for each in mine), D(0))
            assert account.ledger.cash == CASH - spent
            assert account.ledger.fees == sum((each.fee for each in mine), D(0))
            for symbol in SYMBOLS:
                held = sum((SIGN[each.side] * each.qty for each in mine if each.symbol == symbol), D(0))
                assert account.ledger.held(symbol) == held
                assert held >= 0 or self.venue.rules.allow_short
        filled = defaultdict(D)
        for fill in fills:
            filled[fill.order_id] += fill.qty
        for standing in self.placed:
            assert standing.filled == filled[standing.order_id]
            assert standing.leaves == (standing.qty - standing.filled if standing.open else 0)
            assert standing.open or not standing.locked

    def check_ends(self):
        """No order ends twice, and none trades after its end."""
        ended = set()
        for each in self.said:
            if isinstance(each, Fill):
                assert each.order_id not in ended
            elif isinstance(each, OrderUpdate):
                assert each.order_id not in ended
                ended.add(each.order_id)


VARIANTS = {
    "plain": {},
    "costs": COSTS,
    "short": {**COSTS, "allow_short": True},
    "slow": {**SLOW, "allow_short": True},
    "shared": {**COSTS, "shared": True, "participation": D("0.25")},
}


@pytest.mark.parametrize("rules", VARIANTS.values(), ids=VARIANTS)
def test_ten_thousand_orders_make_and_lose_nothing(rules):
    """
    Two thousand random orders of each kind of venue, ten thousand in all: every sum is exact.
    """
    play = Play(7, 2800, **rules)
    play.check_sums()
    play.check_ends()

    for account in play.venue.accounts.values():
        for standing in list(account.open_orders()):
            account.settle(standing)
        assert account.locked == 0
    assert play.orders >= 1950
    assert len(play.venue.fills) > 300
    assert set(play.refused) - {"chance"} <= {
        "insufficient_funds",
        "insufficient_position",
        "qty",
        "not_open",
        "cancelling",
        "off_lot",
    }


@settings(max_examples=part_of(25), deadline=None)
@given(seed=st.integers(0, 10**9), variant=st.sampled_from(sorted(VARIANTS)))
def test_whatever_is_played_the_sums_are_exact(seed, variant):
    """
    The same for short plays of any seed.
    """
    play = Play(seed, 80, **VARIANTS[variant])
    play.check_sums()
    play.check_ends()


@pytest.mark.parametrize("variant", ["slow", "shared"])
def test_the_same_seed_says_the_same_and_another_one_does_not(variant):
    """
    Every word that the venue says is the same again: ids, times, prices, order. Another seed changes them.
    """
    rules = {**SLOW, **VARIANTS[variant]}
    one, again = (Play(11, 600, seed=5, **rules) for _ in range(2))
    other = Play(11, 600, seed=6, **rules)

    assert one.said == again.said
    assert len(one.said) > 200
    assert one.said != other.said
