"""Several runs on one account go through one market, and none holds up the others for nothing."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal

import pytest

import hotplug
from hotplug.errors import InvalidRequest
from hotplug.strategies import _floor, run_strategy, running
from hotplug_broker_paper import PaperBroker
from sharing import Scripted, bar, market, paper, streamed, together, until

D = Decimal


@pytest.fixture(autouse=True)
def _everybody_has_left(monkeypatch):
    """After every run there is nobody left on any floor; and nobody goes on by impatience."""
    monkeypatch.setattr(_floor, "PATIENCE", 60)
    yield
    assert _floor._floors == {}
    assert running() == ()


# -- going together ----------------------------------------------------------------------------------


def test_nothing_happens_while_one_is_at_work(monkeypatch, caplog):
    """
    While a strategy thinks, the others wait at the next bar, and say for whom; cancelled, it holds up nobody.
    """
    monkeypatch.setattr(_floor, "PATIENCE", 0.001)

    async def thinks(strategy):
        await asyncio.Event().wait()

    async def test():
        broker = await paper()
        quick = Scripted()
        hung = asyncio.ensure_future(run_strategy(Scripted({1: thinks}), broker, market(), account="ours"))
        other = asyncio.ensure_future(run_strategy(quick, broker, market(), account="ours"))
        await until(lambda: "waits for other runs on the account: Scripted (run " in caplog.text)
        seen = quick.seen
        hung.cancel()
        report = await asyncio.wait_for(other, 5)
        with pytest.raises(asyncio.CancelledError):
            await hung
        return seen, report

    seen, report = asyncio.run(test())

    assert seen == 2
    assert len(report.equity) == 12
    assert sum("waits for other runs" in each.message for each in caplog.records) == 1


def test_a_run_within_a_run_is_refused_its_account():
    """
    A strategy that runs another one in its callback would wait for itself; on another account it may.
    """
    reports = []

    async def runs_another(strategy):
        reports.append(await run_strategy(Scripted(), strategy.broker, market(), account="theirs"))
        await run_strategy(Scripted(), strategy.broker, market(), account="ours")

    async def test():
        strategy = Scripted({0: runs_another})
        strategy.broker = await paper()
        return await together(strategy.broker, (strategy, market()))

    [outer] = asyncio.run(test())

    assert [len(inner.equity) for inner in reports] == [12]
    assert isinstance(outer.error, RuntimeError)
    assert "on its own account" in str(outer.error)


def test_a_goodbye_holds_up_nobody():
    """
    A run that has ended is waited for no more, however long its strategy takes for on_stop.
    """

    class Lingers(Scripted):
        async def on_stop(self):
            await asyncio.Event().wait()

    async def test():
        broker = await paper()
        ended = asyncio.ensure_future(run_strategy(Lingers(), broker, market(days=2), account="ours"))
        [report] = await together(broker, (Scripted(), market()))
        ended.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ended
        return report

    assert len(asyncio.run(test()).equity) == 12


def test_a_silent_market_holds_up_nobody(monkeypatch):
    """
    Others wait a moment for a run whose stream says nothing, then go on; it can still come to what is new.
    """
    monkeypatch.setattr(_floor, "PATIENCE", 0.001)

    async def test():
        broker, go = await paper(), asyncio.Event()

        async def slow():
            days = market()
            yield days[0]
            await go.wait()
            for day in days[3:5]:
                yield day

        late, quick = Scripted({0: 1}), Scripted({3: lambda _: _set(go)})
        runs = together(broker, (late, slow()), (quick, market(days=4)))
        return late, await runs

    async def _set(event):
        event.set()

    late, reports = asyncio.run(test())

    assert [len(report.equity) for report in reports] == [3, 4]
    assert late.told == [("BUY", "A", 1, market()[1].open, market()[1].time)]


def test_who_comes_to_what_others_passed_is_told_so(monkeypatch):
    """
    A bar that is past on the account ends the run that brings it, and nobody else's.
    """

    async def test():
        broker = await paper()
        begun = asyncio.Event()

        async def tell(strategy):
            begun.set()

        first = asyncio.ensure_future(
            run_strategy(Scripted({5: tell}), broker, streamed(market()), account="ours")
        )
        await begun.wait()
        with pytest.raises(InvalidRequest, match="bars go forward"):
            await run_strategy(Scripted(), broker, market(), account="ours")
        return await first

    assert len(asyncio.run(test()).equity) == 12


@pytest.mark.parametrize("bars", [[bar(0), bar(0)], [bar(1), bar(0)]], ids=["twice", "back"])
def test_bars_go_forward(bars):
    """
    A run that brings the same bar twice, or an older one, fails; in company as it does alone.
    """

    async def test():
        broker = await paper()
        with pytest.raises(InvalidRequest, match="bars go forward"):
            await run_strategy(Scripted(), broker, bars, account="alone")
        good = asyncio.ensure_future(run_strategy(Scripted(), broker, [bar(0), bar(1)], account="ours"))
        with pytest.raises(InvalidRequest, match="bars go forward"):
            await run_strategy(Scripted(), broker, bars, account="ours")
        return await good

    assert len(asyncio.run(test()).equity) == 2


def test_two_markets_of_one_symbol_cannot_both_be():
    """
    Another bar for the same time is refused to the run that brings it second.
    """

    async def test():
        broker = await paper()
        runs = [run_strategy(Scripted(), broker, [bar(0, price)], account="ours") for price in (100, 101)]
        return await asyncio.gather(*runs, return_exceptions=True)

    fine, refused = asyncio.run(test())
    assert len(fine.equity) == 1
    assert isinstance(refused, InvalidRequest)


def test_who_is_cancelled_while_it_feeds_takes_no_fill_along():
    """
    A bar that is happening happens to the end: the others are told what they traded on it.
    """

    class Slow(PaperBroker):
        feeding = None

        async def feed(self, bar, *, account=None):
            fills = await super().feed(bar, account=account)
            if fills:
                self.feeding, self.go = asyncio.current_task(), asyncio.Event()
                await self.go.wait()
            return fills

    async def test():
        broker = Slow()
        await broker.connect()
        strategies = [Scripted({0: 1}), Scripted({0: 2})]
        runs = [
            asyncio.ensure_future(run_strategy(each, broker, market(days=2), account="ours"))
            for each in strategies
        ]
        await until(lambda: broker.feeding is not None)
        runs[0].cancel()
        await asyncio.sleep(0)
        broker.go.set()
        ended = await asyncio.gather(*runs, return_exceptions=True)
        return strategies, ended

    strategies, ended = asyncio.run(test())

    assert isinstance(ended[0], asyncio.CancelledError)
    assert [each[2] for each in strategies[1].told] == [2]
    assert len(ended[1].equity) == 2


def test_runs_of_several_threads_share_one_account():
    """
    Runs on event loops of their own, over one gateway, go through one market.
    """
    config = hotplug.Config.parse('[brokers.main]\nplugin = "paper"\nconnect = true\n')
    reports, ready = [], threading.Barrier(3)

    def work(host, script):
        async def bars():
            await asyncio.to_thread(ready.wait, 5)
            async for each in streamed(market()):
                yield each

        ada = hotplug.UserExecutionContext("ada")
        view = host.brokers.get("main", ada)
        reports.append(asyncio.run(run_strategy(Scripted(script), view, bars(), context=ada)))

    with hotplug.Host(config) as host:
        threads = [threading.Thread(target=work, args=(host, {0: qty, 5: -qty})) for qty in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    assert sorted([each.qty for each in report.trades] for report in reports) == [[1, 1], [2, 2], [3, 3]]
    assert [len(report.equity) for report in reports] == [12, 12, 12]


def test_a_loop_that_was_closed_holds_up_nobody():
    """
    Whom nobody can tell any more that it is its turn is passed over.
    """

    async def waiting():
        return _floor._Waiting(bar(0))

    asyncio.run(waiting()).tell(feeds=True)


def test_a_turn_that_nobody_waits_for_any_more_is_lost():
    """
    Who was cancelled while it was told is not told twice.
    """

    async def test():
        waiting = _floor._Waiting(bar(0))
        waiting.told.cancel()
        waiting.tell(feeds=True)
        await asyncio.sleep(0)
        return waiting.told.cancelled()

    assert asyncio.run(test())


# -- one account -------------------------------------------------------------------------------------


def test_both_open_the_account_that_is_not_there_yet():
    """
    Two runs that begin at once on a new account find it open; what else goes wrong with it is not hidden.
    """

    class Gap(PaperBroker):
        """Others run between a question and what follows from its answer."""

        async def open_account(self, account, cash=None):
            await asyncio.sleep(0)
            if account == "never":
                raise InvalidRequest("no such account", code="account", outcome="NOT_SENT")
            await super().open_account(account, cash)

    async def test():
        broker = Gap()
        await broker.connect()
        reports = await together(broker, (Scripted(), market()), (Scripted(), market()))
        with pytest.raises(InvalidRequest, match="no such account"):
            await run_strategy(Scripted(), broker, market(), account="never")
        return reports

    assert [report.capital for report in asyncio.run(test())] == [100_000, 100_000]


def test_accounts_of_the_same_name_at_other_gateways_are_others():
    """
    Runs over two gateways have nothing to do with each other.
    """

    async def test():
        strategies = [Scripted({0: 1}), Scripted({0: 2})]
        brokers = [await paper(), await paper()]
        pairs = zip(strategies, brokers, (market(), market(first=3)), strict=True)
        runs = (run_strategy(strategy, broker, bars, account="ours") for strategy, broker, bars in pairs)
        return strategies, await asyncio.gather(*runs)

    strategies, reports = asyncio.run(test())
    assert [each.told[0][2] for each in strategies] == [1, 2]
    assert [len(report.equity) for report in reports] == [12, 9]
