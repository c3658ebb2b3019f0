"""The command: what it shows, what it answers to programs, how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from itertools import accumulate

import pytest
from click.testing import CliRunner, Result

import hotplug_demo._play
from hotplug_demo import demo
from hotplug_tools_market import bars

STRATEGIES = "hotplug.strategies"

EAGER = """
from decimal import Decimal

from hotplug import Strategy
from hotplug.market import OrderRequest, Side


class Eager(Strategy):
    last = None

    def __init__(self, qty: Decimal = Decimal(10)):
        self.qty = qty

    async def on_bar(self, bar):
        print("noise of a plugin")
        if self.last is None:
            await self.trader.place(OrderRequest(symbol=bar.symbol, side=Side.BUY, qty=self.qty))
        self.last = bar.close
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(demo, list(arguments))


def answer(*arguments: str) -> dict:
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def played() -> dict:
    """What a run with two users answers to programs."""
    return answer("--symbol", "IBM", "--users", "2")


@pytest.fixture(scope="module")
def shown() -> str:
    """What the same run shows to people without a terminal."""
    result = run("--users", "2")
    assert result.exit_code == 0, result.stderr
    return result.stdout


class TestPicture:
    def test_is_of_the_first_users_run(self, tmp_path):
        """
        With a file named, the first user's run is drawn into it, whoever the answer is for.
        """
        pytest.importorskip("matplotlib")
        file = tmp_path / "run.png"

        result = run("--symbol", "FB", "--users", "1", "--json", "--picture", str(file))

        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["users"][0]["user"] == "ada"
        assert "the run of ada is drawn in" in result.stderr
        assert file.read_bytes().startswith(b"\x89PNG")

    def test_that_cannot_be_drawn_is_said(self, tmp_path, monkeypatch):
        """
        Where matplotlib is missing, the demo is played, and what to install is said at its end.
        """
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

        result = run("--symbol", "FB", "--users", "1", "--picture", str(tmp_path / "run.png"))

        assert result.exit_code == 1
        assert "pip install 'hotplug[plot]'" in result.stderr
        assert "isolated" in result.stdout


class TestForPeople:
    def test_shows_the_plugins(self, shown):
        """
        Every plugin that takes part is a row of the table, with its distribution and state.
        """
        for name, home in (
            ("brokers      paper", "hotplug-broker-paper"),
            ("tools        history", "hotplug-tools-market"),
            ("agents       analyst", "hotplug-agent-analyst"),
            ("strategies   crossover", "hotplug-strategy-crossover"),
        ):
            [row] = [line for line in shown.splitlines() if line.startswith(name)]
            assert home in row
            assert row.rstrip().endswith(("loaded", "discovered"))

    def test_shows_what_came_of_each_user(self, shown, played):
        """
        The figures that programs get are those that people see.
        """
        for user in played["users"]:
            [row] = [line for line in shown.splitlines() if line.startswith(f"{user['user']} ")]
            assert f"{Decimal(user['profit']):+,.2f}" in row
            assert f"{len(user['orders'])}" in row.split()
            assert "".join(user["answer"]["text"].split()) in "".join(shown.split())

    def test_is_plain_without_a_terminal(self, shown):
        """
        No escape sequence is written, and no line is wider than 80 columns.
        """
        assert "\x1b" not in shown
        assert max(map(len, shown.splitlines())) <= 80

    def test_fits_a_terminal_and_uses_colour_there(self, shown):
        """
        On a terminal there is colour, nothing is wider than it, and the words are the same.
        """
        result = CliRunner(env={"FORCE_COLOR": "1", "COLUMNS": "80", "NO_COLOR": ""}).invoke(demo)

        assert result.exit_code == 0
        assert "\x1b[" in result.stdout
        seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", result.stdout)
        assert max(map(len, seen.splitlines())) <= 80
        start, end = shown.index("ada: Crossover"), shown.index("Done in")
        assert shown[start:end].replace(" \n", "\n") in seen.replace(" \n", "\n")

    def test_says_what_was_checked_and_what_to_try_next(self, shown):
        """
        The end is the verdict on isolation and the commands to go on with.
        """
        tail = " ".join(shown[shown.index("isolated:") :].split())
        assert "none is another user's; 6 attempts to reach over were refused" in tail
        assert "hotplug list" in tail
        assert "hotplug doctor" in tail
        assert "Write a plugin" in tail

    def test_a_user_alone_has_nobody_to_reach_over_to(self):
        """
        One user is enough, and then no attempts are counted.
        """
        result = run("--users", "1", "--symbol", "FB")

        assert result.exit_code == 0
        assert "stream to one user" in " ".join(result.stdout.split())
        assert "attempts" not in result.stdout

    def test_draws_with_plain_characters_where_there_are_no_others(self):
        """
        Where the output can show ASCII only, everything is drawn with it, nothing is escaped.
        """
        result = CliRunner(charset="ascii").invoke(demo, ["--symbol", "FB"])

        assert result.exit_code == 0
        assert result.stdout.isascii()
        assert "\\u" not in result.stdout
        assert "***" in result.stdout


class TestForPrograms:
    def test_answers_with_one_object(self, played):
        """
        Standard output is one JSON object with all that was promised.
        """
        assert played.keys() == {
            *("symbol", "strategy", "bars", "first", "last", "plugins", "users"),
            *("isolated", "checked", "breaches", "seconds"),
        }
        for user in played["users"]:
            assert user.keys() == {
                *("user", "account", "settings", "question", "answer", "events", "orders", "fills"),
                *("positions", "fees", "capital", "profit", "return", "max_drawdown", "equity"),
            }
        assert [user["user"] for user in played["users"]] == ["ada", "grace"]
        assert played["bars"] == len(bars("IBM")) == len(played["users"][0]["equity"])

    def test_lists_plugins_as_the_other_verbs_do(self, played):
        """
        A plugin has the keys of ``hotplug list --json``; the one broker of the play was loaded, and so on.
        """
        keys = {"kind", "name", "key", "distribution", "version", "state", "reason", "remedy"}
        assert all(plugin.keys() == keys for plugin in played["plugins"])
        mine = [plugin for plugin in played["plugins"] if plugin["distribution"].startswith("hotplug-")]
        idle = {plugin["name"] for plugin in mine if plugin["state"] != "loaded"}
        assert idle == {plugin["name"] for plugin in mine if plugin["kind"] == "brokers"} - {"paper"}

    def test_users_share_nothing(self, played):
        """
        Orders, fills and positions are each user's own, by account and by id.
        """
        ada, grace = played["users"]
        for user in (ada, grace):
            things = user["orders"] + user["fills"] + user["positions"]
            assert {thing["account"] for thing in things} == {user["user"]}
            assert {fill["order_id"] for fill in user["fills"]} <= {
                each["order_id"] for each in user["orders"]
            }
        for things, key in (("orders", "order_id"), ("fills", "trade_id")):
            assert not {each[key] for each in ada[things]} & {each[key] for each in grace[things]}
        assert played["isolated"] is True
        assert played["breaches"] == []

    def test_counts_what_it_checked(self, played):
        """
        The audit looked at everything there is, not at a part.
        """
        users = played["users"]
        assert played["checked"] == {
            "orders": sum(len(user["orders"]) for user in users),
            "fills": sum(len(user["fills"]) for user in users),
            "events": sum(len(user["events"]) for user in users),
            "attempts": 6,
        }
        assert all(user["orders"] and user["fills"] for user in users)

    def test_users_differ(self, played):
        """
        Each asks something else and trades with other settings, so that no mix-up could go unseen.
        """
        ada, grace = played["users"]
        assert ada["settings"] != grace["settings"]
        assert ada["answer"]["figures"] != grace["answer"]["figures"]
        assert ada["equity"] != grace["equity"]

    def test_events_are_complete(self, played):
        """
        Each user was told of the agent's run, of its tool calls in pairs, and once of every fill.
        """
        for user in played["users"]:
            told = user["events"]
            assert told.count("RUN_STARTED") == told.count("RUN_FINISHED") == 1
            assert told.count("TOOL_CALL_START") == told.count("TOOL_CALL_RESULT") == 3
            assert told.count("CUSTOM") == len(user["fills"])

    def test_money_adds_up(self, played):
        """
        Profit is where equity ended less the capital, and both follow from the fills alone.
        """
        last = bars("IBM")[-1].close
        for user in played["users"]:
            cash, held, fees = Decimal(user["capital"]), Decimal(0), Decimal(0)
            for fill in user["fills"]:
                sign = 1 if fill["side"] == "BUY" else -1
                held += sign * Decimal(fill["qty"])
                cash -= sign * Decimal(fill["qty"]) * Decimal(fill["price"]) + Decimal(fill["fee"])
                fees += Decimal(fill["fee"])
            equity = [Decimal(value) for value in user["equity"]]
            assert cash + held * last == equity[-1]
            assert Decimal(user["profit"]) == equity[-1] - equity[0] == equity[-1] - Decimal(user["capital"])
            assert Decimal(user["fees"]) == fees > 0
            assert [Decimal(each["qty"]) for each in user["positions"]] == [held]

    def test_fractions_follow_from_equity(self, played):
        """
        Return and drawdown are what the equity curve says, to six places.
        """
        for user in played["users"]:
            equity = [Decimal(value) for value in user["equity"]]
            peaks = accumulate(equity, max)
            drawdown = max((peak - value) / peak for peak, value in zip(peaks, equity, strict=True))
            assert Decimal(user["max_drawdown"]) == round(drawdown, 6)
            assert Decimal(user["return"]) == round(Decimal(user["profit"]) / Decimal(user["capital"]), 6)

    def test_is_the_same_every_time(self, played):
        """
        The same options give the same figures.
        """

        def figures(run: dict) -> list[dict]:
            return [{key: value for key, value in user.items() if key != "events"} for user in run["users"]]

        assert figures(answer("--symbol", "IBM", "--users", "2")) == figures(played)

    def test_works_with_as_many_users_as_allowed(self):
        """
        Sixteen users at once are as far apart as two.
        """
        run = answer("--symbol", "FB", "--users", "16")

        assert len({user["user"] for user in run["users"]}) == 16
        assert run["isolated"] is True
        assert run["checked"]["attempts"] >= 2 * 16


class TestWrongOptions:
    @pytest.mark.parametrize(
        ("arguments", "hint"),
        [
            (("--symbol", "IBN"), "no bars of 'IBN' (did you mean 'IBM'?)"),
            (("--symbol", "ibm"), "no bars of 'ibm' (did you mean 'IBM'?)"),
            (("--strategy", "crosover"), "no strategy 'crosover' is installed (did you mean 'crossover'?)"),
            (("--users", "0"), "0 is not in the range 1<=x<=16"),
            (("--users", "17"), "17 is not in the range 1<=x<=16"),
            (("--users", "two"), "'two' is not a valid integer"),
        ],
    )
    def test_are_refused_with_a_hint(self, arguments, hint):
        """
        A wrong option ends with exit code 2, what was probably meant, and nothing on standard output.
        """
        result = run("--json", *arguments)

        assert result.exit_code == 2
        assert hint in result.stderr
        assert result.stdout == ""


class TestPlugins:
    def test_missing_ones_are_named(self, environment):
        """
        All that is not installed is named at once, with the command that installs it.
        """
        environment.install("hotplug-agent-analyst", "9.9")
        environment.install("hotplug-strategy-crossover", "9.9")

        result = run()

        assert result.exit_code == 1
        assert "agents/analyst is not installed" in result.stderr
        assert "strategies/crossover is not installed" in result.stderr
        assert "pip install hotplug-agent-analyst hotplug-strategy-crossover" in result.stderr
        assert result.stdout == ""

    def test_one_that_does_not_import_is_blamed(self, environment):
        """
        A plugin that breaks at its first use is named with version and reason, though others noticed first.
        """
        environment.install(
            "hotplug-strategy-crossover",
            "9.9",
            advertises={STRATEGIES: {"crossover": "broken_crossover:Crossover"}},
            files={"broken_crossover.py": "import nothing_of_this_name"},
        )

        result = run("--json")

        assert result.exit_code == 1
        assert "strategies/crossover from hotplug-strategy-crossover 9.9 is failed" in result.stderr
        assert "nothing_of_this_name" in result.stderr
        assert result.stdout == ""

    def test_a_broker_that_does_not_come_up_is_blamed(self, environment):
        """
        Without its broker the demo does not begin, and says whose fault that is.
        """
        environment.install(
            "hotplug-broker-paper",
            "9.9",
            advertises={"hotplug.brokers": {"paper": "broken_paper:Paper"}},
            files={"broken_paper.py": "raise RuntimeError('out of paper')"},
        )

        result = run()

        assert result.exit_code == 1
        assert "brokers/paper from hotplug-broker-paper 9.9 is failed" in result.stderr

    def test_a_tool_that_fails_is_told_by_the_agent(self, environment):
        """
        Where a tool raises, the demo ends with the agent's error, which names the tool.
        """
        environment.install(
            "hotplug-tools-market",
            "9.9",
            advertises={
                "hotplug.tools": {name: f"sulky:{name}" for name in ("list_symbols", "last_price", "history")}
            },
            files={
                "sulky.py": "import hotplug\n"
                + "".join(
                    f"@hotplug.tool(read_only=True)\ndef {name}() -> str:\n    raise OSError('sulking')\n"
                    for name in ("list_symbols", "last_price", "history")
                )
            },
        )

        result = run()

        assert result.exit_code == 1
        assert "agents/analyst did not answer" in result.stderr
        assert "list_symbols" in result.stderr

    def test_any_installed_strategy_plays(self, environment):
        """
        A strategy from elsewhere trades, and what it prints does not get into the answer.
        """
        environment.install(
            "acme-eager",
            advertises={STRATEGIES: {"eager": "acme_eager:Eager"}},
            files={"acme_eager.py": EAGER},
        )

        run = answer("--strategy", "eager", "--symbol", "FB")

        assert [len(user["fills"]) for user in run["users"]] == [1, 1]
        for user in run["users"]:
            assert user["settings"] == {}
            assert Decimal(user["equity"][1]) != Decimal(user["capital"])
            assert Decimal(user["profit"]) == Decimal(user["equity"][-1]) - Decimal(user["capital"])
        assert run["isolated"] is True

    def test_a_strategy_that_raises_ends_the_demo(self, environment):
        """
        Who was trading, with what, and what it raised is said.
        """
        environment.install(
            "acme-bad",
            advertises={STRATEGIES: {"bad": "acme_bad:Bad"}},
            files={
                "acme_bad.py": "import hotplug\nclass Bad(hotplug.Strategy):\n"
                "    def on_bar(self, bar):\n        raise RuntimeError('no idea')\n"
            },
        )

        result = run("--strategy", "bad")

        assert result.exit_code == 1
        assert "the strategy Bad of ada was stopped by RuntimeError: no idea" in result.stderr

    def test_a_strategy_that_cannot_be_closed_is_blamed(self, environment):
        """
        What a plugin raises when the users' sessions end is an error too, with its name.
        """
        environment.install(
            "acme-clingy",
            advertises={STRATEGIES: {"clingy": "acme_clingy:Clingy"}},
            files={
                "acme_clingy.py": "import hotplug\nclass Clingy(hotplug.Strategy):\n"
                "    def on_bar(self, bar):\n        pass\n"
                "    def close(self):\n        raise RuntimeError('I stay')\n"
            },
        )

        result = run("--strategy", "clingy", "--symbol", "FB")

        assert result.exit_code == 1
        assert "acme-clingy" in result.stderr
        assert "I stay" in result.stderr

    def test_a_strategy_may_do_nothing(self, environment):
        """
        Without an order there is nothing to cancel for a neighbour, and no profit.
        """
        environment.install(
            "acme-idle",
            advertises={STRATEGIES: {"idle": "acme_idle:Idle"}},
            files={
                "acme_idle.py": "import hotplug\nclass Idle(hotplug.Strategy):\n"
                "    def on_bar(self, bar):\n        pass\n"
            },
        )

        result = run("--strategy", "idle", "--symbol", "FB")

        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("no orders") == 2
        assert "4 attempts to reach over were refused" in " ".join(result.stdout.split())

    def test_an_agent_of_another_kind_may_answer(self, environment):
        """
        Another analyst's plain answer is shown as it is.
        """
        environment.install(
            "hotplug-agent-analyst",
            "9.9",
            advertises={"hotplug.agents": {"analyst": "oracle:Oracle"}},
            files={
                "oracle.py": "import hotplug\nclass Oracle(hotplug.BaseAgent):\n"
                "    async def run(self, task, run):\n        return 42\n"
            },
        )

        assert [user["answer"] for user in answer("--symbol", "FB")["users"]] == [{"text": "42"}] * 2

    def test_data_that_do_not_import_are_blamed(self, monkeypatch):
        """
        Where the market data cannot be imported, how to get them again is said.
        """
        monkeypatch.setitem(sys.modules, "hotplug_tools_market", None)

        result = run()

        assert result.exit_code == 1
        assert "hotplug-tools-market is installed, but does not work" in result.stderr
        assert "pip install --force-reinstall hotplug-tools-market" in result.stderr

    def test_a_strategy_that_hangs_is_stopped(self, environment, monkeypatch):
        """
        The demo ends by itself, whatever a plugin waits for.
        """
        monkeypatch.setattr(hotplug_demo._play, "LIMIT", 0.05)
        environment.install(
            "acme-sloth",
            advertises={STRATEGIES: {"sloth": "acme_sloth:Sloth"}},
            files={
                "acme_sloth.py": "import asyncio, hotplug\nclass Sloth(hotplug.Strategy):\n"
                "    async def on_bar(self, bar):\n        await asyncio.Event().wait()\n"
            },
        )

        result = run("--strategy", "sloth")

        assert result.exit_code == 1
        assert "was not done within" in result.stderr

    def test_starts_nothing_of_strangers(self, environment):
        """
        Hooks and services of other distributions are listed as disabled, and not imported.
        """
        environment.install(
            "acme-busy",
            advertises={
                "hotplug.services": {"busy": "acme_busy:Busy"},
                "hotplug.hooks": {"busy": "acme_busy"},
            },
            files={"acme_busy.py": "raise SystemExit('imported!')"},
        )

        run = answer("--symbol", "FB")

        strangers = [plugin for plugin in run["plugins"] if plugin["distribution"] == "acme-busy"]
        assert {plugin["kind"]: plugin["state"] for plugin in strangers} == {
            "hooks": "disabled",
            "services": "disabled",
        }
        assert "acme_busy" not in sys.modules

    def test_a_broker_that_mixes_users_up_is_found_out(self, environment):
        """
        If the broker trades on somebody else's account, the demo says so and fails.
        """
        environment.install(
            "hotplug-broker-paper",
            "9.9",
            advertises={"hotplug.brokers": {"paper": "leaky_paper:Leaky"}},
            files={
                "leaky_paper.py": "from dataclasses import replace\nfrom decimal import Decimal\n"
                "from uuid import uuid4\nfrom hotplug.market import Side\n"
                "from hotplug_broker_paper import PaperBroker\n\n\n"
                "class Leaky(PaperBroker):\n"
                "    async def _place(self, order):\n"
                "        if order.account == 'grace' and order.side is Side.BUY:\n"
                "            fresh = uuid4().hex\n"
                "            other = replace(order, account='ada', qty=Decimal(1), client_order_id=fresh)\n"
                "            await super()._place(other)\n"
                "        return await super()._place(order)\n"
            },
        )

        result = run("--json", "--symbol", "FB")
        told = run("--symbol", "FB")

        assert result.exit_code == told.exit_code == 1
        found = json.loads(result.stdout)
        assert found["isolated"] is False
        assert any("ada and the broker tell different stories" in breach for breach in found["breaches"])
        assert any(breach.startswith("ada should have") for breach in found["breaches"])
        assert not any(breach.startswith("grace") for breach in found["breaches"])
        assert "NOT isolated" in told.stdout
        assert "not kept apart" in result.stderr


class TestProcess:
    def test_is_a_verb_of_the_command_line(self):
        """
        ``python -m hotplug demo`` in ASCII surroundings ends with 0 and says the same.
        """
        done = subprocess.run(
            [sys.executable, "-m", "hotplug", "demo", "--symbol", "FB"],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            timeout=60,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        text = done.stdout.decode("ascii")
        assert "isolated: " in text
        assert "\x1b" not in text
        assert "\\u" not in text

    def test_an_interrupt_ends_it_cleanly(self, environment):
        """
        Ctrl-C in the middle of trading gives exit code 130, one line, and no traceback; called or as a verb.
        """
        environment.install(
            "acme-ctrlc",
            advertises={STRATEGIES: {"ctrlc": "acme_ctrlc:CtrlC"}},
            files={
                "acme_ctrlc.py": "import os, signal, hotplug\npressed = []\n"
                "class CtrlC(hotplug.Strategy):\n"
                "    def on_bar(self, bar):\n"
                "        if not pressed:\n"
                "            pressed.append(os.kill(os.getpid(), signal.SIGINT))\n"
            },
        )

        called = run("--strategy", "ctrlc")
        done = subprocess.run(
            [sys.executable, "-m", "hotplug", "demo", "--strategy", "ctrlc"],
            env={**os.environ, "PYTHONPATH": str(environment.folder)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert called.exit_code == done.returncode == 130
        assert called.stderr == done.stderr == "stopped: the broker is disconnected, everything is closed\n"
