"""The venue alone: what trades on bars and quotes, in which order, at which price; worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hotplug.errors import (
    BrokerError,
    DuplicateClientOrderId,
    InsufficientFunds,
    InvalidRequest,
    MarketClosed,
    OrderBusy,
    OrderDenied,
    OrderNotFound,
)
from hotplug.market import (
    Balance,
    Bar,
    Fill,
    Instrument,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Position,
    Quote,
    Side,
    TimeInForce,
)
from hotplug_broker_paper._venue import Venue
from hotplug_broker_paper._venue_hours import Hours
from hotplug_broker_paper._venue_match import path_of
from hotplug_broker_paper._venue_rules import Rules

D = Decimal
START = datetime(2024, 1, 2, tzinfo=UTC)
GTC, IOC, FOK, DAY, GTD = (TimeInForce(each) for each in ("GTC", "IOC", "FOK", "DAY", "GTD"))


class Told(list):
    """A venue, what it said, and short words for what is done to it."""

    def __init__(self, clock=None, **rules):
        super().__init__()
        self.venue = Venue(Rules(**rules), self.append, clock=clock)
        self.number = 0

    def place(self, side, qty, price=None, stop=None, **more):
        kind = {
            (False, False): OrderType.MARKET,
            (True, False): OrderType.LIMIT,
            (False, True): OrderType.STOP,
            (True, True): OrderType.STOP_LIMIT,
        }[price is not None, stop is not None]
        self.number += 1
        return self.venue.place(
            OrderRequest(
                symbol=more.pop("symbol", "A"),
                side=side,
                qty=D(qty),
                type=kind,
                price=None if price is None else D(price),
                stop_price=None if stop is None else D(stop),
                tif=more.pop("tif", GTC),
                client_order_id=more.pop("id", f"{self.number}"),
                **more,
            )
        )

    def buy(self, qty, price=None, stop=None, **more):
        return self.place(Side.BUY, qty, price, stop, **more)

    def sell(self, qty, price=None, stop=None, **more):
        return self.place(Side.SELL, qty, price, stop, **more)

    def bar(self, minute, open_, high=None, low=None, close=None, volume=1000, *, symbol="A", account=None):
        """Feed the bar of that minute; (id, quantity, price) of what traded."""
        open_ = D(open_)
        close = open_ if close is None else D(close)
        bar = Bar(
            symbol=symbol,
            time=START + timedelta(minutes=minute),
            open=open_,
            high=max(open_, close) if high is None else D(high),
            low=min(open_, close) if low is None else D(low),
            close=close,
            volume=D(volume),
        )
        return shown(self.venue.feed_bar(bar, account))

    def quote(self, second, bid=None, ask=None, *, sizes=(None, None), symbol="A", account=None):
        """Feed the quote of that second; the same."""
        bid, ask, bid_size, ask_size = (None if each is None else D(each) for each in (bid, ask, *sizes))
        time = START + timedelta(seconds=second)
        quote = Quote(symbol=symbol, bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size, time=time)
        return shown(self.venue.feed_quote(quote, account))

    def hold(self, qty, price=100, *, symbol="A", minute=-1, account=None):
        """Let the account hold some."""
        self.buy(qty, symbol=symbol, id=f"holding {symbol} {minute} {account}", account=account)
        self.bar(minute, price, symbol=symbol, volume=D(qty), account=account)
        self.clear()

    def ends(self):
        """(id, status) of the orders that were said to have ended without trading."""
        return [(each.client_order_id, str(each.status)) for each in self if isinstance(each, OrderUpdate)]

    @property
    def account(self):
        return self.venue.accounts["default"]

    @property
    def free(self):
        return self.account.balance().available


def shown(fills):
    return [(each.client_order_id, each.qty, each.price) for each in fills]


def kinds(fills):
    return [str(each.liquidity) for each in fills if isinstance(each, Fill)]


# -- bars: the path ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("high", "low", "path"),
    [(103, 90, [100, 103, 90, 95]), (110, 94, [100, 94, 110, 95]), (106, 94, [100, 94, 106, 95])],
)
def test_the_way_of_a_bar(high, low, path):
    """
    From the open to the nearer of high and low, to the other one, to the close; when equal, to the low first.
    """
    bar = Bar(symbol="A", time=START, open=100, high=high, low=low, close=95, volume=1)

    assert list(path_of(bar)) == path


def test_a_stop_and_a_limit_on_one_way():
    """
    Open 100, down to 95, up to 110: the stop at 97 sells first, the limit at 105 sells on the way back.
    """
    told = Told()
    told.hold(10)
    told.sell(5, price=105, id="limit")
    told.sell(5, stop=97, id="stop")

    assert told.bar(1, 100, high=110, low=95, close=108) == [("stop", 5, 97), ("limit", 5, 105)]
    assert kinds(told) == ["TAKER", "MAKER"]


def test_the_other_way_round():
    """
    Open 100, up to 104 first: then the limit at 103 sells before the stop at 95 does.
    """
    told = Told()
    told.hold(10)
    told.sell(5, stop=95, id="stop")
    told.sell(5, price=103, id="limit")

    assert told.bar(1, 100, high=104, low=90, close=92) == [("limit", 5, 103), ("stop", 5, 95)]


def test_a_gap_fills_at_the_open():
    """
    What the open has jumped over trades at the open: a stop worse than asked, a limit better.
    """
    told = Told()
    told.hold(10)
    told.sell(5, stop=97, id="stop")
    told.buy(1, price=95, id="limit")

    assert told.bar(1, 90) == [("stop", 5, 90), ("limit", 1, 90)]
    assert kinds(told) == ["TAKER", "TAKER"]


def test_a_stop_that_is_only_touched_is_elected():
    """
    A stop needs the price to touch it, a limit that it goes through.
    """
    told = Told()
    told.buy(1, stop=110, id="stop")
    told.hold(1, minute=-2)
    told.sell(1, price=110, id="limit")

    assert told.bar(1, 100, high=110, close=110) == [("stop", 1, 110)]


def test_an_elected_stop_slips():
    """
    It is a market order then: worse by the slippage, to the next worse tick.
    """
    told = Told(slippage=D("0.001"))
    told.buy(1, stop=105)

    assert told.bar(1, 100, high=110) == [("1", 1, D("105.11"))]


@pytest.mark.parametrize(
    ("limit", "price", "liquidity"), [(106, 105, "TAKER"), (105, 105, "TAKER"), (104, 104, "MAKER")]
)
def test_a_stop_limit_never_pays_more_than_its_limit(limit, price, liquidity):
    """
    Down to 99, up to 110, back to 100: elected at 105 it takes that if it may; else it trades on the way.
    """
    told = Told()
    told.buy(1, price=limit, stop=105)

    assert told.bar(1, 100, high=110, low=99) == [("1", 1, price)]
    assert kinds(told) == [liquidity]


def test_a_stop_limit_rests_until_the_price_comes_back():
    """
    Stop 105, limit 104: elected when the price rises to 106, bought at 104 when it falls again.
    """
    told = Told()
    told.buy(1, price=104, stop=105, id="patient")

    assert told.bar(1, 101, high=106, close=106) == []
    assert told.bar(2, 106, low=103, close=105) == [("patient", 1, 104)]
    assert kinds(told) == ["MAKER"]


def test_a_sell_stop_limit():
    """
    The same downwards: stop 95, limit 95, elected at 95 exactly.
    """
    told = Told()
    told.hold(2)
    told.sell(2, price=95, stop=95, id="floor")

    assert told.bar(1, 100, low=90) == [("floor", 2, 95)]


# -- bars: liquidity --------------------------------------------------------------------------------


def test_the_volume_of_a_bar_is_used_up():
    """
    Of a volume of 10 the older order takes its 7, the younger one the remaining 3, and 4 on the next bar.
    """
    told = Told()
    told.buy(7, id="older")
    told.buy(7, id="younger")

    assert told.bar(1, 100, volume=10) == [("older", 7, 100), ("younger", 3, 100)]
    younger = told.venue.find(None, "younger", None)
    assert (younger.status, younger.leaves) == (OrderStatus.PARTIALLY_FILLED, 4)
    assert told.bar(2, 102, volume=10) == [("younger", 4, 102)]
    assert (younger.status, younger.filled) == (OrderStatus.FILLED, 7)


def test_an_average_price_by_hand():
    """
    3 at 100 and 1 at 104 are 101 on average.
    """
    told = Told()
    standing = told.buy(4)
    told.bar(1, 100, volume=3)
    told.bar(2, 104)

    assert standing.order().avg_price == 101


def test_participation_is_a_share_of_the_volume():
    """
    A tenth of 55 at a lot of 1 is 5.
    """
    told = Told(participation=D("0.1"), lot=D(1))
    told.buy(100)

    assert told.bar(1, 100, volume=55) == [("1", 5, 100)]


def test_unlimited_liquidity_is_never_used_up():
    """
    Orders trade whole then, whatever volume or sizes are told; otherwise nothing trades where there is none.
    """
    free, bound = Told(unlimited=True), Told()
    for told in (free, bound):
        told.buy(5)
        told.buy(7)

    assert free.bar(1, 100, volume=0) == [("1", 5, 100), ("2", 7, 100)]
    assert bound.bar(1, 100, volume=0) == []
    free.buy(9)
    assert free.quote(90, 99, 101, sizes=(0, 0)) == [("3", 9, 101)]


def test_market_orders_go_first_then_the_better_price_then_the_older():
    """
    At the open: market orders; then limits by price; at one price, the older.
    """
    told = Told()
    for number, price in enumerate([101, 103, 102, 103, None]):
        told.buy(1, price=price, id=f"{number} at {price}")

    assert [name for name, *_ in told.bar(1, 100, volume=4)] == [
        "4 at None",
        "1 at 103",
        "3 at 103",
        "2 at 102",
    ]


def test_the_better_price_is_reached_first():
    """
    On the way down limits trade by price, at one price by age.
    """
    told = Told()
    for number, price in enumerate([97, 98, 97, 99]):
        told.buy(1, price=price, id=f"{number} at {price}")

    fills = told.bar(1, 100, low=90)

    assert [name for name, *_ in fills] == ["3 at 99", "1 at 98", "0 at 97", "2 at 97"]
    assert [price for *_, price in fills] == [99, 98, 97, 97]


def test_on_the_way_whoever_is_met_first_trades_first():
    """
    Going down from 100: the stop at 98 before the limit at 97, the limit at 96 before the stop at 95.
    """
    told = Told()
    told.hold(4)
    told.sell(2, stop=95, id="stop at 95")
    told.sell(2, stop=98, id="stop at 98")
    told.buy(2, price=97, id="limit at 97")
    told.buy(2, price=96, id="limit at 96")

    fills = told.bar(1, 100, low=90)

    assert [name for name, *_ in fills] == ["stop at 98", "limit at 97", "limit at 96", "stop at 95"]


def test_shared_liquidity_goes_to_whoever_is_met_first():
    """
    On the way too, the better limit trades first, whoever's it is.
    """
    told = Told(shared=True)
    told.buy(2, price=97, account="ada", id="ada")
    told.buy(2, price=98, account="bob", id="bob")

    assert told.bar(1, 100, low=90, volume=3) == [("bob", 2, 98), ("ada", 1, 97)]


def test_what_has_traded_is_not_set_aside_any_more():
    """
    Of 10 to buy at 100, 4 have traded: 600 stay locked. Of 4 to sell, 1 has: 3 cannot be sold elsewhere.
    """
    told = Told()
    told.buy(10, price=100)
    told.bar(1, 100, volume=4)
    assert (told.account.locked, told.free) == (600, 99_000)
    told.venue.cancel(told.venue.find(None, "1", None))
    told.sell(4, price=100)
    told.bar(2, 100, volume=1)
    with pytest.raises(InsufficientFunds, match="1 A to sell, 0 free"):
        told.sell(1)


def test_buyers_and_sellers_share_the_volume():
    """
    A bar's volume is one, whoever takes it.
    """
    told = Told()
    told.hold(10)
    told.sell(6, id="seller")
    told.buy(6, id="buyer")

    assert told.bar(1, 100, volume=10) == [("seller", 6, 100), ("buyer", 4, 100)]


def test_the_liquidity_is_each_accounts_own():
    """
    Two accounts on one bar each have its whole volume.
    """
    told = Told()
    for account in ("ada", "bob"):
        told.buy(10, account=account, id=account)

    assert told.bar(1, 100, volume=10) == [("ada", 10, 100), ("bob", 10, 100)]


def test_shared_liquidity_is_shared_by_price_and_time():
    """
    With shared liquidity the better price goes first, then the older order, whoever's it is.
    """
    told = Told(shared=True)
    told.buy(4, price=101, account="ada", id="ada 1")
    told.buy(4, price=102, account="bob", id="bob")
    told.buy(4, price=101, account="bob", id="bob 2")
    told.buy(4, price=101, account="ada", id="ada 2")

    fills = told.bar(1, 100, volume=11)

    assert fills == [("bob", 4, 100), ("ada 1", 4, 100), ("bob 2", 3, 100)]


def test_one_bar_shown_to_one_after_the_other_is_one_bar():
    """
    Shared, the same bar fed to Ada and then to Bob: Bob gets what Ada left. The next one is new.
    """
    told = Told(shared=True)
    for account in ("ada", "bob"):
        told.buy(6, account=account, id=account)

    assert told.bar(1, 100, volume=10, account="ada") == [("ada", 6, 100)]
    assert told.bar(1, 100, volume=10, account="bob") == [("bob", 4, 100)]
    assert told.bar(2, 100, volume=10, account="bob") == [("bob", 2, 100)]


def test_a_shared_quote_that_comes_again_is_new():
    """
    Shown twice to the same account, or to all, equal quotes are two: the second refreshes the liquidity.
    """
    told = Told(shared=True)
    told.buy(10, account="ada", id="ada")
    for turn in range(2):
        assert told.quote(1, 99, 100, sizes=(4, 4), account="ada") == [("ada", 4, 100)], turn
    assert told.quote(1, 99, 100, sizes=(1, 1)) == [("ada", 1, 100)]
    assert told.quote(1, 99, 100, sizes=(1, 1)) == [("ada", 1, 100)]


def test_the_liquidity_of_the_past_is_forgotten(monkeypatch):
    """
    A shared market remembers the last few bars only.
    """
    monkeypatch.setattr("hotplug_broker_paper._venue.SHARED_KEPT", 2)
    told = Told(shared=True)
    for minute in range(5):
        told.bar(minute, 100)

    assert len(told.venue.shared) == 2


# -- quotes -----------------------------------------------------------------------------------------


def test_quotes_are_taken_as_far_as_they_go():
    """
    Buyers take the ask, sellers the bid, as many as are shown; the next quote shows new ones.
    """
    told = Told()
    told.hold(5)
    told.buy(5, id="buyer")
    told.sell(5, id="seller")

    assert told.quote(1, 99, 101, sizes=(2, 3)) == [("buyer", 3, 101), ("seller", 2, 99)]
    assert told.quote(2, 98, 102, sizes=(9, 9)) == [("buyer", 2, 102), ("seller", 3, 98)]
    assert kinds(told) == ["TAKER"] * 4


def test_a_side_that_nobody_offers():
    """
    Without an ask nobody buys; when there is one, at its price. A size that is not told is any size.
    """
    told = Told()
    told.hold(5)
    told.buy(5, id="buyer")
    told.buy(5, price=200, id="limit")
    told.sell(5, id="seller")

    assert told.quote(1, bid=99) == [("seller", 5, 99)]
    assert told.quote(2, ask=100) == [("buyer", 5, 100), ("limit", 5, 100)]


def test_sizes_are_whole_lots():
    """
    What is shown beyond whole lots is not tradable.
    """
    told = Told(lot=D(10))
    told.buy(100)

    assert told.quote(1, 99, 100, sizes=(0, 39)) == [("1", 30, 100)]


def test_a_limit_that_rested_is_met_at_its_own_price():
    """
    An order that crosses when it comes takes the quote; one that was there is met at its limit, as a maker.
    """
    told = Told()
    told.buy(1, price=100, id="comes")
    assert told.quote(1, 98, 99) == [("comes", 1, 99)]
    told.buy(1, price=95, id="waits")
    assert told.quote(2, 98, 99) == []
    assert told.quote(3, 93, 94) == [("waits", 1, 95)]

    assert kinds(told) == ["TAKER", "MAKER"]


def test_what_is_left_of_a_taker_goes_on_taking():
    """
    A limit far above the ask takes what is shown, quote after quote, at their prices; never at its own.
    """
    told = Told()
    told.buy(6, price=200)

    fills = [told.quote(second, 99, 100 + second, sizes=(2, 2)) for second in range(3)]

    assert fills == [[("1", 2, 100)], [("1", 2, 101)], [("1", 2, 102)]]


def test_a_limit_trades_when_it_is_touched_by_a_quote():
    """
    An ask at the limit can be taken: it is an offer, not a trade that somebody else had.
    """
    told = Told()
    told.buy(1, price=95)

    assert told.quote(1, 90, 96) == []
    assert told.quote(2, 90, 95) == [("1", 1, 95)]


def test_stops_are_elected_by_the_side_that_they_would_take():
    """
    A stop to buy when the ask has risen to it, a stop to sell when the bid has fallen to it.
    """
    told = Told()
    told.hold(1)
    told.buy(1, stop=105, id="buy")
    told.sell(1, stop=95, id="sell")

    assert told.quote(1, 96, 104) == []
    assert told.quote(2, 95, 104) == [("sell", 1, 95)]
    assert told.quote(3, 104, 106) == [("buy", 1, 106)]


def test_elected_stops_queue_in_the_order_in_which_they_stood():
    """
    Two stops elected by one quote trade by age, behind market orders that were there.
    """
    told = Told()
    told.buy(2, stop=101, id="older")
    told.buy(2, stop=100, id="younger")
    told.buy(2, id="market")

    assert told.quote(1, 99, 101, sizes=(0, 5)) == [
        ("market", 2, 101),
        ("older", 2, 101),
        ("younger", 1, 101),
    ]


def test_quotes_and_bars_may_alternate():
    """
    Each knows its own past only: a bar may begin before the last quote, and a quote may repeat a time.
    """
    told = Told()
    told.quote(30, 99, 101)
    told.bar(0, 100)
    told.quote(30, 99, 101)
    with pytest.raises(InvalidRequest, match="quotes go forward"):
        told.quote(29, 99, 101)
    with pytest.raises(InvalidRequest, match="bars go forward"):
        told.bar(0, 100)


@pytest.mark.parametrize(
    ("bid", "ask", "sizes"),
    [(101, 100, (1, 1)), (0, 100, (1, 1)), (99, "1e16", (1, 1)), (99, 100, (-1, 1)), ("1e-13", 100, (1, 1))],
)
def test_impossible_quotes(bid, ask, sizes):
    """
    Crossed ones, prices of nothing or beyond all precision, and negative sizes never were.
    """
    with pytest.raises(InvalidRequest) as caught:
        Told().quote(1, bid, ask, sizes=sizes)
    assert (caught.value.code, caught.value.outcome) == ("quote", "NOT_SENT")


def test_a_bar_with_a_negative_volume_is_impossible():
    """
    Less than nothing was never traded.
    """
    with pytest.raises(InvalidRequest, match="must not be negative"):
        Told().bar(1, 100, volume=-1)


# -- rule 25: never on what was known already -------------------------------------------------------


def test_an_order_never_trades_on_the_bar_that_it_was_placed_after():
    """
    A bar of another symbol that began no later holds prices from before the order: the next one counts.
    """
    told = Told()
    told.bar(1, 100, symbol="A")
    told.buy(1, symbol="B")

    assert told.bar(1, 50, symbol="B") == []
    assert told.bar(2, 51, symbol="B") == [("1", 1, 51)]


def test_market_time_never_goes_back():
    """
    With one symbol at minute 5, another one's bar of minute 3 does not make it earlier than that.
    """
    told = Told()
    told.bar(5, 100, symbol="A")
    told.bar(3, 50, symbol="B")
    told.buy(1, symbol="B")

    assert told.bar(4, 50, symbol="B") == []
    assert told.bar(6, 51, symbol="B") == [("1", 1, 51)]


def test_an_order_from_before_all_data_trades_on_the_first_bar():
    """
    As long as the market has told no time, there is nothing that could be known.
    """
    told = Told()
    told.buy(1)

    assert told.bar(-1000, 100) == [("1", 1, 100)]


def test_an_order_never_trades_on_the_quote_that_stood_when_it_came():
    """
    It waits for the next quote, which may be of the same instant.
    """
    told = Told()
    told.quote(1, 99, 100)
    told.buy(1)

    assert told.quote(1, 99, 101) == [("1", 1, 101)]


# -- latency ----------------------------------------------------------------------------------------


def test_an_order_takes_a_while_to_arrive_and_another_to_trade():
    """
    Half a second to the venue, a second to the market: quotes before that pass it by.
    """
    told = Told(ack_latency=0.5, fill_latency=1.0)
    told.quote(10, 99, 100)
    told.buy(1)

    assert told.quote(11, 99, 100) == []
    assert told.quote(12, 99, 102) == [("1", 1, 102)]


def test_who_arrives_with_a_quote_is_in_time():
    """
    A quote of the very instant at which an order may trade is for it.
    """
    told = Told(ack_latency=0.5, fill_latency=1.5)
    told.quote(10, 99, 100)
    told.buy(1)

    assert told.quote(12, 99, 101) == [("1", 1, 101)]


def test_a_cancel_may_lose_to_a_fill():
    """
    Until it arrives the order stands, being cancelled; what trades meanwhile has traded.
    """
    told = Told(cancel_latency=2.0)
    told.quote(10, 99, 100)
    lost, won = told.buy(1, price=95, id="lost"), told.buy(1, price=90, id="won")
    for standing in (lost, won):
        told.venue.cancel(standing)
        told.venue.cancel(standing)  # being cancelled already
        assert standing.order().status is OrderStatus.PENDING_CANCEL

    assert told.quote(11, 94, 95) == [("lost", 1, 95)]
    assert told.quote(12, 89, 90) == []
    assert (lost.order().status, won.order().status) == (OrderStatus.FILLED, OrderStatus.CANCELED)
    assert told.ends() == [("won", "CANCELED")]


def test_who_arrives_first_is_first():
    """
    With a latency between two values, the queue is that of the arrivals, not that of the orders.
    """
    told = Told(ack_latency=(0.0, 1.0), seed=3)
    told.quote(0, 99, 100)
    placed = [told.buy(1, id=f"{number}") for number in range(6)]
    delays = {each.client_order_id: each.active_at for each in placed}

    fills = told.quote(60, 99, 100)

    assert [name for name, *_ in fills] == sorted(delays, key=delays.get)
    assert [name for name, *_ in fills] != list(delays)
    assert all(START <= each <= START + timedelta(seconds=1) for each in delays.values())


# -- how long orders stand --------------------------------------------------------------------------


@pytest.mark.parametrize("tif", [IOC, FOK])
def test_at_once_or_not(tif):
    """
    5 of 8 are there: IOC takes them, FOK nothing; either is cancelled then.
    """
    told = Told()
    standing = told.buy(8, price=100, tif=tif)

    fills = told.quote(1, 99, 100, sizes=(5, 5))

    assert fills == ([("1", 5, 100)] if tif is IOC else [])
    assert told.ends() == [("1", "CANCELED")]
    assert (standing.leaves, standing.locked, told.account.locked) == (0, 0, 0)


def test_fill_or_kill_fills():
    """
    Where all of it is there, all of it trades.
    """
    told = Told()
    told.buy(5, price=100, tif=FOK)

    assert told.quote(1, 99, 100, sizes=(5, 5)) == [("1", 5, 100)]


def test_at_once_means_once_it_is_elected():
    """
    A stop IOC waits for its stop; then it takes what is there and is gone.
    """
    told = Told()
    told.buy(8, stop=105, tif=IOC, id="quote")
    assert told.quote(1, 99, 100, sizes=(5, 5)) == []
    assert told.quote(2, 104, 105, sizes=(5, 5)) == [("quote", 5, 105)]
    told.buy(8, stop=110, tif=IOC, id="bar")
    assert told.bar(5, 106, high=120, volume=3) == [("bar", 3, 110)]

    assert told.ends() == [("quote", "CANCELED"), ("bar", "CANCELED")]


def test_a_stop_limit_at_once_that_may_not_take_is_gone():
    """
    Elected above its limit, an IOC has nothing to take.
    """
    told = Told()
    told.buy(1, price=104, stop=105, tif=IOC)

    assert told.bar(1, 100, high=106, low=99, close=106) == []
    assert told.ends() == [("1", "CANCELED")]


def test_gtd_stands_until_its_time():
    """
    It does not trade at its time any more, and has EXPIRED by then, whatever symbol tells the time.
    """
    told = Told()
    told.bar(0, 100)
    told.buy(1, price=90, tif=GTD, expire_at=START + timedelta(minutes=5), id="a")
    told.buy(1, price=90, tif=GTD, expire_at=START + timedelta(minutes=3), id="b")

    told.bar(3, 100, symbol="B")
    assert told.ends() == [("b", "EXPIRED")]
    assert told.bar(4, 95, low=94) == []
    assert told.bar(5, 80) == []
    assert told.ends() == [("b", "EXPIRED"), ("a", "EXPIRED")]
    with pytest.raises(InvalidRequest, match="nothing can expire at") as caught:
        told.buy(1, tif=GTD, expire_at=START)
    assert (caught.value.code, caught.value.outcome) == ("expire_at", "REJECTED")


def test_many_orders_that_ended_early_are_not_kept_for_their_time(monkeypatch):
    """
    What is to be looked at later holds no order that has ended, beyond a few.
    """
    monkeypatch.setattr("hotplug_broker_paper._venue_account.FEW", 10)
    told = Told()
    told.account._sweep_at = 10
    told.bar(0, 100)
    for _ in range(200):
        told.venue.cancel(told.buy(1, price=50, tif=GTD, expire_at=START + timedelta(days=9)))

    assert len(told.account._due) <= 11


# -- hours ------------------------------------------------------------------------------------------

NEW_YORK = Hours("09:30-16:00", "America/New_York")


def at(clock):
    """Minutes from midnight UTC on."""
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def test_a_closed_venue_trades_nothing():
    """
    Outside of its hours (14:30 to 21:00 UTC in January) orders are MarketClosed, and bars only tell prices.
    """
    told = Told(hours=NEW_YORK)
    told.buy(1, id="from before")
    assert told.bar(at("14:29"), 100) == []
    with pytest.raises(MarketClosed, match="its hours are 09:30-16:00") as caught:
        told.buy(1)
    assert (caught.value.code, caught.value.outcome) == ("closed", "REJECTED")
    assert told.bar(at("14:30"), 101) == [("from before", 1, 101)]
    assert told.bar(at("21:00"), 102) == []
    with pytest.raises(MarketClosed):
        told.buy(1)


def test_a_day_order_ends_with_the_session():
    """
    Placed during the session, it expires at its end, also if nothing was said in between.
    """
    told = Told(hours=NEW_YORK)
    told.bar(at("15:00"), 100)
    told.buy(1, price=90, tif=DAY, id="day")
    told.buy(1, price=90, tif=GTC, id="gtc")

    assert told.bar(at("14:30") + 24 * 60, 80) == [("gtc", 1, 80)]
    assert told.ends() == [("day", "EXPIRED")]


@pytest.mark.parametrize(
    ("spelled", "zone", "moment", "end"),
    [
        ("09:30-16:00", "America/New_York", "2024-01-02T14:30", "2024-01-02T21:00"),
        ("09:30-16:00", "America/New_York", "2024-07-02T14:30", "2024-07-02T20:00"),
        ("09:30-16:00", "America/New_York", "2024-01-02T14:29", None),
        ("09:30-16:00", "America/New_York", "2024-01-02T21:00", None),
        ("22:00-05:00", "UTC", "2024-01-02T23:00", "2024-01-03T05:00"),
        ("22:00-05:00", "UTC", "2024-01-03T04:59", "2024-01-03T05:00"),
        ("22:00-05:00", "UTC", "2024-01-03T05:00", None),
        ("09:00-09:00", "UTC", "2024-01-03T08:59", "2024-01-03T09:00"),
        (None, "UTC", "2024-01-03T05:00", "2024-01-04T00:00"),
    ],
)
def test_hours(spelled, zone, moment, end):
    """
    When the session ends that a moment lies in: summer and winter, over midnight, around the clock.
    """
    hours = Hours(spelled, zone)
    moment = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    end = end and datetime.fromisoformat(end).replace(tzinfo=UTC)

    assert [hours.end_of(moment), hours.end_of(moment)] == [end, end]


# -- the clock --------------------------------------------------------------------------------------


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def forward(self, **span):
        self.now += timedelta(**span)


def test_by_the_clock_time_passes_without_a_market():
    """
    Cancels arrive and orders expire when the clock says so, as soon as somebody looks.
    """
    clock = Clock()
    told = Told(clock, by_clock=True, cancel_latency=2.0)
    cancelled = told.buy(1, price=90, id="cancelled")
    told.buy(1, price=90, tif=GTD, expire_at=START + timedelta(seconds=5), id="gtd")
    told.buy(1, price=90, tif=DAY, id="day")
    told.venue.cancel(cancelled)
    assert told.venue.next_due() == START + timedelta(seconds=2)

    ends = []
    for span in ({"seconds": 1}, {"seconds": 1}, {"seconds": 3}, {"days": 1}):
        clock.forward(**span)
        told.venue.advance()
        ends.append([name for name, _ in told.ends()])

    assert ends == [[], ["cancelled"], ["cancelled", "gtd"], ["cancelled", "gtd", "day"]]
    assert told.venue.next_due() is None


def test_by_the_market_the_clock_moves_nothing():
    """
    Time that no bar and no quote told of has not passed.
    """
    clock = Clock()
    told = Told(clock)
    told.bar(0, 100)
    told.buy(1, price=90, tif=GTD, expire_at=START + timedelta(seconds=5))
    clock.forward(days=1)
    told.venue.advance()

    assert told.ends() == []


def test_by_the_clock_fills_have_its_time():
    """
    Fills and acks carry the time of the clock, which is asked once for each call.
    """
    clock = Clock()
    told = Told(clock, by_clock=True)
    standing = told.buy(1)
    clock.forward(seconds=30)
    told.quote(10, 99, 100)
    [fill, *_] = told

    assert (standing.created_at, fill.time) == (START, START + timedelta(seconds=30))


def test_a_clock_without_a_zone_is_refused():
    """
    Times are in UTC, a clock's as well.
    """
    told = Told(lambda: datetime(2024, 1, 1), by_clock=True)  # noqa: DTZ001
    with pytest.raises(ValueError, match="must say its zone"):
        told.buy(1)


# -- changes ----------------------------------------------------------------------------------------


def queue(told):
    return [name for name, *_ in told.quote(90, 80, 90)]


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"qty": D(1)}, "changed"),
        ({"qty": D(3)}, "other"),
        ({"price": D(95)}, "changed"),
        ({"price": D(91)}, "changed"),
        ({"qty": D(2)}, "changed"),
    ],
)
def test_who_asks_for_more_goes_to_the_end_of_the_queue(change, first):
    """
    An order that only shrinks keeps its place; one that grows loses it (a better price comes first anyway).
    """
    told = Told()
    changed = told.buy(2, price=90, id="changed")
    told.buy(2, price=90, id="other")
    told.quote(1, 98, 100)
    told.venue.modify(changed, OrderChange(**change))
    told.quote(2, 98, 100)

    assert queue(told)[0] == first
    assert changed.version == 2


def test_the_same_price_again_keeps_the_place():
    """
    A change to what it is already changes nothing in the queue.
    """
    told = Told()
    changed = told.buy(2, price=90, id="changed")
    told.buy(2, price=90, id="other")
    told.quote(1, 98, 100)
    told.venue.modify(changed, OrderChange(price=D(90)))

    assert queue(told) == ["changed", "other"]


def test_a_change_counts_what_is_filled():
    """
    qty is the total: 3 of 10 filled, changed to 5 leaves 2; less than what is filled is refused.
    """
    told = Told()
    changed = told.buy(10, price=100)
    told.quote(1, 99, 100, sizes=(3, 3))
    with pytest.raises(OrderDenied, match="3 are filled already"):
        told.venue.modify(changed, OrderChange(qty=D(3)))
    told.venue.modify(changed, OrderChange(qty=D(5)))

    assert (changed.qty, changed.leaves, changed.filled) == (5, 2, 3)
    assert told.account.locked == 200


def test_a_changed_order_trades_from_the_next_data_on():
    """
    A limit changed to cross the market meets the next quote, as a newcomer.
    """
    told = Told()
    changed = told.buy(1, price=90)
    told.quote(1, 99, 100)
    told.venue.modify(changed, OrderChange(price=D(105)))

    assert told.quote(2, 99, 101) == [("1", 1, 101)]
    assert kinds(told) == ["TAKER"]


def test_a_change_that_cannot_be_paid_for_leaves_everything():
    """
    InsufficientFunds: price, quantity, what is locked and the place in the queue are as before.
    """
    told = Told(cash=D(1000))
    changed = told.buy(5, price=100)
    with pytest.raises(InsufficientFunds):
        told.venue.modify(changed, OrderChange(qty=D(11)))

    assert (changed.qty, changed.leaves, changed.version, told.account.locked) == (5, 5, 1, 500)
    assert told.quote(1, 99, 100) == [("1", 5, 100)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"qty": D("0.00001")}, "off_lot"),
        ({"price": D("1.001")}, "off_tick"),
        ({"price": D(-1)}, "price"),
        ({"stop_price": D(95)}, "stop_price"),
    ],
)
def test_senseless_changes_are_denied(change, code):
    """
    What could not be ordered is no change either.
    """
    told = Told()
    with pytest.raises(OrderDenied) as caught:
        told.venue.modify(told.buy(1, price=90), OrderChange(**change))
    assert caught.value.code == code


def test_a_stop_may_move_until_it_was_reached():
    """
    Afterwards only price and quantity may change.
    """
    told = Told()
    standing = told.buy(10, price=108, stop=105)
    told.venue.modify(standing, OrderChange(stop_price=D(107)))
    assert told.quote(1, 104, 106) == []
    assert told.quote(2, 106, 107, sizes=(1, 1)) == [("1", 1, 107)]
    with pytest.raises(OrderDenied, match="its stop was reached already"):
        told.venue.modify(standing, OrderChange(stop_price=D(110)))


def test_what_ended_or_is_being_cancelled_changes_no_more():
    """
    InvalidRequest and OrderBusy, both REJECTED.
    """
    told = Told(cancel_latency=1.0)
    told.quote(1, 99, 100)
    busy, done = told.buy(1, price=50), told.buy(1)
    told.quote(2, 99, 100)
    told.venue.cancel(busy)
    told.venue.cancel(done)  # filled first is no error

    with pytest.raises(OrderBusy) as busy_error:
        told.venue.modify(busy, OrderChange(qty=D(2)))
    with pytest.raises(InvalidRequest, match="is FILLED") as done_error:
        told.venue.modify(done, OrderChange(qty=D(2)))
    assert busy_error.value.outcome == done_error.value.outcome == "REJECTED"


# -- short and reduce only --------------------------------------------------------------------------


def test_a_short_sale_by_hand():
    """
    Sold short 10 at 100, bought back 4 at 90: 40 gained; 6 are owed at 100, and 1,200 of cash held back.
    """
    told = Told(cash=D(2000), allow_short=True)
    told.sell(10)
    told.bar(1, 100)
    ledger = told.account.ledger
    assert (ledger.held("A"), ledger.cash, told.free) == (-10, 3000, 1000)
    told.buy(4)
    told.bar(2, 90)

    position = told.account.ledger.position("A")
    assert (position.qty, position.avg_price, position.realized_pnl) == (-6, 100, 40)
    assert (told.account.ledger.cash, told.free) == (2640, 1440)


def test_a_short_sale_needs_as_much_money_as_it_brings():
    """
    What is known beforehand is refused, what the market makes too dear is ended.
    """
    told = Told(cash=D(1000), allow_short=True)
    with pytest.raises(InsufficientFunds):
        told.sell(11, price=100)
    told.sell(10, price=100, id="gap")

    assert told.bar(1, 101) == []
    assert told.ends() == [("gap", "REJECTED")]
    assert told.free == 1000


def test_a_flip_by_hand():
    """
    Long 2 at 100, sold 5 at 110: 20 gained, 3 owed at 110; then bought 4 at 100: 30 gained, 1 held at 100.
    """
    told = Told(allow_short=True)
    told.hold(2)
    told.sell(5)
    told.bar(1, 110)
    position = told.account.ledger.position("A")
    assert (position.qty, position.avg_price, position.realized_pnl) == (-3, 110, 20)
    told.buy(4)
    told.bar(2, 100)
    position = told.account.ledger.position("A")
    assert (position.qty, position.avg_price, position.realized_pnl) == (1, 100, 50)
    assert told.account.ledger.shorts == 0


def test_a_short_can_always_be_closed():
    """
    However dear it has become: what closes a position is paid for, into debt if need be; a flip is not.
    """
    told = Told(cash=D(1000), allow_short=True)
    told.sell(10)
    told.bar(1, 100)
    told.buy(10, id="close")
    assert told.bar(2, 300) == [("close", 10, 300)]
    assert told.account.ledger.cash == -1000

    told = Told(cash=D(1000), allow_short=True)
    told.sell(10)
    told.bar(1, 100)
    with pytest.raises(InsufficientFunds):
        told.buy(30, price=300)


def test_a_flip_that_the_market_made_too_dear_is_ended():
    """
    A market order to buy back and more, when the price has jumped: nothing of it trades.
    """
    told = Told(cash=D(1000), allow_short=True)
    told.sell(5)
    told.bar(1, 100)
    told.buy(9, id="flip")

    assert told.bar(2, 300) == []
    assert told.ends() == [("flip", "REJECTED")]


def test_buying_back_sets_no_money_aside():
    """
    An order that closes a short locks nothing; two of them do not close it twice.
    """
    told = Told(cash=D(1000), allow_short=True)
    told.sell(5)
    told.bar(1, 100)
    told.buy(5, price=100)
    assert told.account.locked == 0
    with pytest.raises(InsufficientFunds):
        told.buy(6, price=100)
    told.buy(5, price=100)
    assert told.account.locked == 500


def test_reduce_only_never_opens():
    """
    It is refused without a position, trades what there is of it, and is cancelled when nothing is left.
    """
    told = Told(allow_short=True)
    with pytest.raises(InsufficientFunds, match="no position in A to reduce") as caught:
        told.sell(5, reduce_only=True)
    assert caught.value.outcome == "REJECTED"
    told.hold(3)
    with pytest.raises(InsufficientFunds, match="no position in A to reduce"):
        told.buy(5, reduce_only=True)
    told.sell(5, reduce_only=True, id="both")

    assert told.bar(1, 100) == [("both", 3, 100)]
    assert told.ends() == [("both", "CANCELED")]
    assert told.account.ledger.held("A") == 0


def test_a_profit_to_take_and_a_loss_to_stop():
    """
    Two orders may wait to reduce one position; when the one has done it, the other ends.
    """
    told = Told()
    told.hold(3)
    told.sell(3, price=110, reduce_only=True, id="profit")
    told.sell(3, stop=95, reduce_only=True, id="loss")

    assert told.bar(1, 100, low=90) == [("loss", 3, 95)]
    assert told.bar(2, 100, high=120) == []
    assert told.ends() == [("profit", "CANCELED")]


def test_reduce_only_leaves_what_others_will_sell():
    """
    In a cash account pieces that another order is to sell are not there to be reduced: nobody is left short.
    """
    told = Told()
    told.hold(5)
    told.sell(4, price=99, id="plain")
    with pytest.raises(InsufficientFunds, match="2 A to sell, 1 free"):
        told.sell(2)
    told.sell(5, reduce_only=True, id="reduce")

    assert told.bar(1, 100) == [("reduce", 1, 100), ("plain", 4, 100)]
    assert told.account.ledger.held("A") == 0
    with pytest.raises(InsufficientFunds, match="no position in A to reduce"):
        told.sell(5, reduce_only=True)


def test_reduce_only_ends_when_somebody_else_reduced():
    """
    The position is gone when its turn comes.
    """
    told = Told(allow_short=True)
    told.hold(3)
    told.sell(3, price=120, reduce_only=True, id="reduce")
    told.sell(3, id="sell")
    told.bar(1, 100)

    assert told.bar(2, 130) == []
    assert told.ends() == [("reduce", "CANCELED")]


# -- fees -------------------------------------------------------------------------------------------


def test_takers_and_makers_pay_their_own_fees():
    """
    1 % for the order that takes the open, 0.1 % for the one that waits for its price.
    """
    told = Told(taker_fee=D("0.01"), maker_fee=D("0.001"))
    told.buy(1)
    told.buy(1, price=99)
    told.bar(1, 100, low=98)

    assert [each.fee for each in told if isinstance(each, Fill)] == [1, D("0.10")]


def test_makers_may_be_paid():
    """
    A negative maker fee is a rebate; the books balance all the same.
    """
    told = Told(maker_fee=D("-0.001"))
    told.buy(1, price=99)
    told.bar(1, 100, low=98)

    assert told.account.ledger.cash == 100_000 - 99 + D("0.10")
    assert sum(told.account.ledger.pockets().values()) == 0


def test_the_fee_of_an_order_is_rounded_once_however_many_trades_it_took():
    """
    10 trades of half a cent each cost 5 cents, not 10; the least fee is the order's, not each trade's.
    """
    told, dear = Told(taker_fee=D("0.0005")), Told(taker_fee=D("0.0005"), min_fee=D("0.03"))
    for each in (told, dear):
        each.buy(10)
        for minute in range(10):
            each.bar(minute, 10, volume=1)

    fees = [each.fee for each in told if isinstance(each, Fill)]
    assert sum(fees) == D("0.05") == told.account.ledger.fees
    assert fees[:2] == [D("0.01"), 0]
    assert [each.fee for each in dear if isinstance(each, Fill)][:8] == [
        D("0.03"),
        0,
        0,
        0,
        0,
        0,
        D("0.01"),
        0,
    ]


def test_a_least_fee_is_set_aside():
    """
    An order to buy locks what it costs at the most.
    """
    told = Told(min_fee=D(1))
    told.buy(1, price=100)

    assert told.account.locked == 101


# -- instruments ------------------------------------------------------------------------------------

CONTRACT = Instrument(
    symbol="F", tick_size=D("0.25"), lot_size=D(1), multiplier=D(50), min_qty=D(2), min_notional=D(10_000)
)


def test_an_instrument_has_steps_and_a_multiplier_of_its_own():
    """
    2 contracts of 50 at 100 cost 10,000; their average price is 100, and a point is worth 100.
    """
    told = Told(instruments={"F": CONTRACT})
    told.buy(2, symbol="F")
    told.bar(1, 100, symbol="F")
    assert (told.account.ledger.cash, told.account.ledger.position("F").avg_price) == (90_000, 100)
    told.sell(2, symbol="F")
    told.bar(2, 101, symbol="F")

    assert told.account.ledger.position("F").realized_pnl == 100


@pytest.mark.parametrize(
    ("qty", "price", "code"),
    [(1, 100, "min_qty"), ("2.5", 100, "off_lot"), (2, "100.1", "off_tick"), (2, 99, "min_notional")],
)
def test_an_instrument_has_least_sizes(qty, price, code):
    """
    Too small an order is denied, by quantity and by worth.
    """
    told = Told(instruments={"F": CONTRACT})
    with pytest.raises(OrderDenied) as caught:
        told.buy(qty, price=price, symbol="F")
    assert caught.value.code == code


def test_what_has_an_instrument_is_listed():
    """
    Beside the symbols, if there are any.
    """
    told = Told(symbols=frozenset({"A"}), instruments={"F": CONTRACT})
    told.buy(2, symbol="F")
    with pytest.raises(InvalidRequest, match=r"listed: A, F"):
        told.buy(2, symbol="B")
    assert told.venue.rules.instrument("F") is CONTRACT
    assert told.venue.rules.instrument("A").tick_size == D("0.01")


# -- chance -----------------------------------------------------------------------------------------


def test_chance_is_a_function_of_seed_account_and_number():
    """
    The same seed refuses the same orders; another one others; and each about as many as it should.
    """

    def refused(seed, account=None):
        told, found = Told(reject_rate=0.3, seed=seed), set()
        for number in range(300):
            try:
                told.buy(1, price=1, account=account)
            except BrokerError:
                found.add(number)
        return found

    assert refused(1) == refused(1) != refused(2)
    assert refused(1) != refused(1, "ada")
    assert 50 < len(refused(1)) < 130


def test_always_and_never():
    """
    A rate of 1 refuses all, of 0 none.
    """
    with pytest.raises(BrokerError, match="rejected by chance") as caught:
        Told(reject_rate=1.0).buy(1)
    assert (caught.value.code, caught.value.outcome) == ("chance", "REJECTED")
    Told(reject_rate=0.0).buy(1)


# -- orders -----------------------------------------------------------------------------------------


def test_a_client_id_is_used_once_in_an_account():
    """
    The venue itself refuses it the second time; another account may use it.
    """
    told = Told()
    told.buy(1, id="x")
    told.buy(1, id="x", account="ada")
    with pytest.raises(DuplicateClientOrderId) as caught:
        told.buy(1, id="x")
    assert caught.value.outcome == "REJECTED"


def test_orders_are_found_by_what_names_them():
    """
    By the venue's id, or by account and client id; a client id that two accounts use names nobody's.
    """
    told = Told()
    mine, hers = told.buy(1, id="x"), told.buy(1, id="x", account="ada")
    find = told.venue.find

    assert find(None, None, "default-1") is find("default", "x", None) is find(None, "x", "default-1") is mine
    assert find("ada", "x", None) is hers
    for unknown in ((None, "x", None), (None, "y", "default-1"), ("bob", "x", None), (None, None, "ada-9")):
        with pytest.raises(OrderNotFound):
            find(*unknown)


def test_what_ended_long_ago_is_forgotten():
    """
    Orders that ended and fills are kept as far as the history goes; the books stay exact.
    """
    told = Told(history=3)
    for minute in range(5):
        told.buy(1)
        told.bar(minute, 100)

    assert sorted(told.venue.by_order_id) == ["default-3", "default-4", "default-5"]
    assert sorted(told.account.by_client) == ["3", "4", "5"]
    assert [each.trade_id for each in told.venue.fills] == ["default-T3", "default-T4", "default-T5"]
    assert told.account.ledger.held("A") == 5


def test_an_order_that_cannot_be_paid_for_any_more_keeps_what_it_traded():
    """
    Filled in part, then too dear: cancelled, not rejected.
    """
    told = Told(cash=D(1000))
    standing = told.buy(9)
    told.bar(1, 100, volume=4)
    told.bar(2, 200)

    assert told.ends() == [("1", "CANCELED")]
    assert (standing.filled, standing.order().avg_price, standing.order().reason) == (
        4,
        100,
        "1000.00 USD needed at 200: more than is free",
    )


def test_what_is_held_is_said_once_for_each_bar():
    """
    After the fills of a bar: each position that changed, then the money.
    """
    told = Told()
    for account in ("ada", "bob"):
        for _ in range(2):
            told.buy(1, account=account)
    told.bar(1, 100)

    assert [type(each) for each in told] == [Fill] * 4 + [Position] * 2 + [Balance] * 2
    assert [each.qty for each in told if isinstance(each, Position)] == [2, 2]


def test_the_callers_decimals_are_their_own_business():
    """
    A caller's context, however narrow, changes no sum; and the venue leaves it as it was.
    """
    from decimal import getcontext, localcontext

    def play():
        told = Told(taker_fee=D("0.00137"))
        told.buy("33.3333", price="99.99")
        told.bar(1, 100, low=90)
        return told.account.ledger.pockets(), list(told)

    with localcontext() as context:
        context.prec = 3
        narrow = play()
        assert getcontext().prec == 3
    assert narrow == play()


@pytest.mark.parametrize("cash", [-1, D("-0.01")])
def test_no_account_begins_in_debt(cash):
    """
    Opened with less than nothing is an InvalidRequest.
    """
    with pytest.raises(InvalidRequest, match="cash must be positive"):
        Told().venue.open_account("ada", D(cash))


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"symbol": ""}, "symbol"),
        ({"id": ""}, "client_order_id"),
        ({"qty": 0}, "qty"),
        ({"price": "1e16"}, "price"),
        ({"price": "1.001"}, "off_tick"),
        ({"stop": -1}, "stop_price"),
        ({"stop": "1.001"}, "off_tick"),
        ({"tif": GTD}, "expire_at"),
        ({"expire_at": START}, "expire_at"),
    ],
)
def test_what_the_venue_denies_by_itself(order, code):
    """
    Whoever asked before, the venue looks at every order: NOT_SENT, and no account is opened for it.
    """
    told = Told()
    with pytest.raises(OrderDenied) as caught:
        told.place(**{"side": Side.BUY, "qty": 1, "account": "ada"} | order)
    assert (caught.value.code, caught.value.outcome) == (code, "NOT_SENT")
    assert list(told.venue.accounts) == ["default"]


@pytest.mark.parametrize(
    ("kind", "price", "stop", "code"), [("MARKET", 5, None, "price"), ("LIMIT", 5, 5, "stop_price")]
)
def test_prices_that_an_order_has_no_use_for(kind, price, stop, code):
    """
    A market order with a price, or a limit order with a stop, is a mistake, not a detail.
    """
    request = OrderRequest(
        symbol="A", side=Side.BUY, qty=1, type=OrderType(kind), price=price, stop_price=stop
    )
    with pytest.raises(OrderDenied) as caught:
        Told().venue.place(request)
    assert caught.value.code == code


def test_books_that_do_not_balance_are_an_error():
    """
    The ledger refuses postings that make or lose money.
    """
    from hotplug_broker_paper._venue_ledger import Holding, Ledger

    with pytest.raises(ArithmeticError, match="do not balance"):
        Ledger("a", D(0))._post(Holding(D(1)), D(1), D(0), D(0), D(0))


# -- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"participation": D(0)},
        {"participation": D("1.1")},
        {"maker_fee": D(-1)},
        {"taker_fee": D("-0.1")},
        {"min_fee": D(-1)},
        {"reject_rate": 1.5},
        {"reject_rate": -0.1},
        {"history": 0},
        {"ack_latency": -1.0},
        {"fill_latency": (2.0, 1.0)},
        {"cancel_latency": float("inf")},
        {"cancel_latency": float("nan")},
        {"tick": D("1e-13")},
        {"lot": D("1e16")},
        {"instruments": {"F": Instrument(symbol="F", tick_size=D(1), lot_size=D(1), currency="EUR")}},
        {"instruments": {"F": Instrument(symbol="F", tick_size=D(0), lot_size=D(1))}},
        {"instruments": {"F": Instrument(symbol="F", tick_size=D(1), lot_size=D(1), multiplier=D(0))}},
        {"instruments": {"F": Instrument(symbol="F", tick_size=D(1), lot_size=D(1), min_qty=D(-1))}},
    ],
)
def test_senseless_rules(wrong):
    """
    A venue with senseless rules is never made.
    """
    with pytest.raises(
        ValueError, match=next(iter(wrong)).partition("_")[0][:8] + "|F is traded|figures|tick"
    ):
        Rules(**wrong)


@pytest.mark.parametrize("spelled", ["9:30-16:00", "09:30", "25:00-26:00", "09:30-16:00 "])
def test_misspelled_hours(spelled):
    """
    Hours are spelled in one way.
    """
    with pytest.raises(ValueError, match="a session is spelled as in 09:30-16:00"):
        Hours(spelled)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc", ""])
def test_unknown_zones(zone):
    """
    A zone that nobody knows is refused.
    """
    with pytest.raises(ValueError, match="no such time zone"):
        Hours("09:30-16:00", zone)
