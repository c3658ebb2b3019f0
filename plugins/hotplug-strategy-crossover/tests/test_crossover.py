"""The crossover strategy: its averages, its orders by hand, and real bars against a second computation."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotplug.market import Bar, OrderStatus, Side, TimeInForce
from hotplug.strategies import run_strategy, running
from hotplug_broker_paper import PaperBroker
from hotplug_strategy_crossover import Crossover, MovingAverage

DAY = datetime(2024, 1, 2, tzinfo=UTC)
D = Decimal


def bars_of(closes, symbol="A"):
    """Bars that open where they close."""
    return [
        Bar(
            symbol=symbol,
            time=DAY + timedelta(days=number),
            open=close,
            high=close,
            low=close,
            close=close,
            volume=1000,
        )
        for number, close in enumerate(map(D, closes))
    ]


def run(strategy, bars, *, cash=1000, **settings):
    """The report of a run on a paper broker."""

    async def test():
        broker = PaperBroker(**settings)
        await broker.connect()
        return await run_strategy(strategy, broker, bars, cash=D(cash))

    report = asyncio.run(test())
    assert report.error is None
    return report


def deeds(report):
    return [(each.side.value, each.qty, each.price, (each.time - DAY).days) for each in report.trades]


def test_by_hand():
    """
    Averages of 2 and 3 closes: above on day 3, so bought on day 4; below on day 5, so sold on day 6.

        day        0   1   2   3   4   5   6   7
        close     10  10  10  13  14  11   8   8
        of 2       10  10  11½ 13½ 12½  9½   8
        of 3           10  11  12⅓ 12⅔ 11    9
    """
    report = run(Crossover(fast=2, slow=3, qty=D(5)), bars_of([10, 10, 10, 13, 14, 11, 8, 8]))

    assert deeds(report) == [("BUY", 5, 14, 4), ("SELL", 5, 8, 6)]
    assert report.equity[-1] == 1000 - 5 * 14 + 5 * 8
    assert {each.tif for each in report.orders} == {TimeInForce.IOC}
    assert {each.tags[0] for each in report.orders} == {"crossover"}


@given(values=st.lists(st.decimals(-1000, 1000, places=4), max_size=60), length=st.integers(1, 12))
def test_a_moving_average_is_the_mean_of_the_last(values, length):
    """
    After each value the average is the mean of the last ones, and nothing before there are enough.
    """
    average = MovingAverage(length)

    for number, value in enumerate(values, 1):
        average.add(value)
        last = values[number - length : number] if number >= length else None
        assert average.value == (None if last is None else sum(last) / length)


def test_it_buys_what_it_can_afford():
    """
    Without a quantity it spends the fraction of its cash, in whole lots at the last close.
    """
    report = run(Crossover(fast=1, slow=2, fraction=D("0.5"), lot=D(10)), bars_of([9, 10, 10]), cash=D(1000))

    assert deeds(report) == [("BUY", 50, 10, 2)]


def test_less_than_a_lot_is_not_ordered():
    """
    Where the cash does not reach for one lot, nothing is ordered.
    """
    assert run(Crossover(fast=1, slow=2), bars_of([900, 1000, 1100]), cash=D(1000)).orders == ()


def test_it_tries_again_while_the_signal_stands():
    """
    A purchase that the market made too dear is rejected, and tried again at the next bar.
    """
    report = run(Crossover(fast=1, slow=2, fraction=D(1)), bars_of([8, 10, 20, 40, 40]), cash=D(100))

    assert [each.status for each in report.orders][:2] == [OrderStatus.REJECTED, OrderStatus.REJECTED]
    assert deeds(report) == [("BUY", 2, 40, 4)]


def test_it_lives_with_others_on_one_account():
    """
    Where another strategy spent the money first, it goes on without, and tries again at the next bar.
    """

    async def test():
        broker = PaperBroker(cash=D(100))
        await broker.connect()
        runs = (
            run_strategy(Crossover(fast=1, slow=2), broker, bars_of([9, 10, 10, 10]), account="ours")
            for _ in range(2)
        )
        return await asyncio.gather(*runs)

    first, second = asyncio.run(test())

    assert (first.error, second.error) == (None, None)
    assert (deeds(first), deeds(second)) == ([("BUY", 9, 10, 2)], [])


def test_equal_averages_change_nothing():
    """
    In a flat market nothing is bought, and what is held is kept.
    """
    assert run(Crossover(fast=1, slow=2), bars_of([10] * 6)).orders == ()
    report = run(Crossover(fast=1, slow=2, qty=D(1)), bars_of([9, 10, 10, 10, 10]))
    assert deeds(report) == [("BUY", 1, 10, 2)]


@pytest.mark.parametrize(("symbol", "traded"), [(None, "B"), ("A", "A")])
def test_it_trades_one_symbol(symbol, traded):
    """
    It trades the symbol that it was told, or that of the first bar, and looks at no other.
    """
    mixed = [
        each
        for pair in zip(bars_of(range(1, 9), "B"), bars_of(range(1, 9), "A"), strict=True)
        for each in pair
    ]

    report = run(Crossover(symbol=symbol, fast=1, slow=2, qty=D(1)), mixed)

    assert {each.symbol for each in report.trades} == {traded}
    assert len(report.trades) == 1


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"fast": 5, "slow": 5}, "fast=5, slow=5"),
        ({"fast": 0}, "fast=0"),
        ({"fraction": D(0)}, "fraction"),
        ({"fraction": D("1.1")}, "fraction"),
        ({"qty": D(0)}, "qty=0"),
        ({"lot": D(-1)}, "lot=-1"),
    ],
)
def test_senseless_settings_are_refused(settings, text):
    """
    A strategy that could never trade sensibly is never made, and the error names the setting.
    """
    with pytest.raises(ValueError, match=text):
        Crossover(**settings)


def test_money_settings_are_exact():
    """
    A float is refused for money.
    """
    with pytest.raises(TypeError, match="qty must be a Decimal"):
        Crossover(qty=0.5)


def reference(bars, fast, slow, qty):
    """The same rule once more, written as if there were no broker: trades and last cash."""
    closes, held, cash, trades, wanted = [], 0, D(10_000), [], None
    for number, bar in enumerate(bars):
        if wanted:
            side, wanted = wanted, None
            held += qty if side is Side.BUY else -qty
            cash -= (qty if side is Side.BUY else -qty) * bar.open
            trades.append((side.value, qty, bar.open, number))
        closes.append(bar.close)
        if len(closes) >= slow:
            above = sum(closes[-fast:]) * slow - sum(closes[-slow:]) * fast
            if above > 0 and not held:
                wanted = Side.BUY
            elif above < 0 and held:
                wanted = Side.SELL
    return trades, cash + held * bars[-1].close


def test_real_bars_against_a_second_computation():
    """
    Thirteen years of real IBM bars: trades and final equity are those of a computation without a broker.
    """
    market = pytest.importorskip("hotplug_tools_market")
    bars = market.bars("IBM")
    number_of = {bar.time: number for number, bar in enumerate(bars)}

    report = run(Crossover(fast=20, slow=50, qty=D(10)), bars, cash=D(10_000))

    trades, equity = reference(bars, 20, 50, D(10))
    assert [(each.side.value, each.qty, each.price, number_of[each.time]) for each in report.trades] == trades
    assert len(trades) > 50
    assert report.equity[-1] == equity


# -- its state -------------------------------------------------------------------------------------


def run_in_two(first, second, bars, at, *, cash=1000):
    """The report of a run in which *second* takes over from *first* after the bar number *at*."""
    answers = []

    async def market():
        for number, bar in enumerate(bars):
            yield bar
            if number == at:
                [run] = running()
                answer = asyncio.Future()
                run.offer(lambda: second, answer.set_result)
                answers.append(await answer)

    report = run(first, market(), cash=cash)
    [why_not] = answers
    return report, why_not


WAVES = bars_of([100 + min(day % 16, 16 - day % 16) + (day % 5) for day in range(60)])


@pytest.mark.parametrize("at", range(60))
def test_a_successor_makes_the_same_trades(at):
    """
    Replaced after any bar, before its averages are full or later, it trades as if nothing had happened.
    """
    settings = {"fast": 3, "slow": 8, "qty": D(2)}
    alone = run(Crossover(**settings), WAVES)

    relay, why_not = run_in_two(Crossover(**settings), Crossover(**settings), WAVES, at)

    assert why_not is None
    assert len(alone.trades) > 5
    assert deeds(relay) == deeds(alone)
    assert relay.equity == alone.equity


def test_a_successor_without_the_state_would_trade_otherwise():
    """
    A new object that is not told the closes has to collect them again, and trades later.
    """

    class Forgetful(Crossover):
        def import_state(self, version, data):
            pass

    alone = run(Crossover(fast=3, slow=8, qty=D(2)), WAVES)
    relay, _ = run_in_two(
        Crossover(fast=3, slow=8, qty=D(2)), Forgetful(fast=3, slow=8, qty=D(2)), WAVES, at=5
    )

    assert deeds(relay) != deeds(alone)


def test_shorter_averages_go_on_at_once():
    """
    A successor with other lengths takes what it needs of the closes.
    """
    second = Crossover(fast=2, slow=4)
    _, why_not = run_in_two(Crossover(fast=3, slow=8), second, bars_of(range(1, 11)), at=9)

    assert why_not is None
    assert second.export_state() == (1, {"symbol": "A", "closes": (D(7), D(8), D(9), D(10))})


def test_longer_averages_begin_with_what_there_is():
    """
    A successor whose averages are longer than what was kept waits until they are full.
    """
    longer = Crossover(fast=3, slow=8)
    state = {"symbol": "A", "closes": (D(1), D(2), D(4), D(8))}

    longer.import_state(1, state)
    before, _ = longer.export_state(), run(longer, bars_of([9, 9, 9]))

    assert before == (1, state)
    assert longer.export_state()[1]["closes"] == (*state["closes"], 9, 9, 9)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": 2}, "knows state of version 1, not 2"),
        ({"symbol": "B"}, "trades A, the one before it traded B"),
    ],
)
def test_strange_state_is_refused(change, text):
    """
    State of another version, or of another symbol than the one in its settings, is a ValueError.
    """
    state = {"version": 1, "symbol": "A", **change}

    with pytest.raises(ValueError, match=text):
        Crossover(symbol="A").import_state(state["version"], {"symbol": state["symbol"], "closes": (D(1),)})


@pytest.mark.parametrize(("own", "before", "then"), [("A", None, "A"), (None, "B", "B"), ("A", "A", "A")])
def test_the_symbol_goes_on(own, before, then):
    """
    The symbol of the one before is traded on; where it had none yet, that of the settings.
    """
    strategy = Crossover(symbol=own)

    strategy.import_state(1, {"symbol": before, "closes": ()})

    assert strategy.symbol == then
