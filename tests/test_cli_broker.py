"""``hotplug broker``: what files tell of brokers, and the brake for running hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from decimal import Decimal

import pytest

import hotplug
from hotplug import UserExecutionContext
from hotplug._cli import _brake as brake
from hotplug._cli._story import holder_of, pid_of, put_aside, read
from hotplug.brokers._events._files import write_holder
from hotplug.brokers._events._journal import FileJournal
from hotplug.brokers._events._log import EventLog
from hotplug.brokers._hosting._acks import Acks
from hotplug.brokers._hosting._halts import Halt, HaltFile, Halts
from hotplug.errors import Halted
from hotplug.market import (
    Attribution,
    Fill,
    GatewayStatus,
    Liquidity,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Origin,
    Side,
    StatusChange,
    TimeInForce,
)

BROKER = """
from hotplug_broker_mock import MockBroker
class Acme(MockBroker):
    def __init__(self, *, broker_id: str = "acme"):
        super().__init__(broker_id=broker_id)
"""
CONFIG = """[host]
data = "data"
[brokers.main]
plugin = "acme"
connect = true
journal = true
accounts = {{ ada = ["A1"], bob = ["B1"] }}
{}"""
ONE = Decimal(1)


@pytest.fixture
def folder(tmp_path, environment):
    """The folder of orders; a distribution advertises the broker ``acme``."""
    environment.install(
        "acme-broker",
        "1.0",
        advertises={"hotplug.brokers": {"acme": "acme_broker:Acme"}},
        files={"acme_broker.py": BROKER},
    )
    return tmp_path / "data" / "orders"


@pytest.fixture
def ask(cli, folder):
    def run(*arguments, more=""):
        return cli("broker", *arguments, config=CONFIG.format(more))

    return run


@pytest.fixture
def journal(folder):
    """Writes events into the journal of ``main``, as a host does."""
    file = FileJournal(folder / "main.jsonl")
    log = EventLog(file)
    yield log
    log.close()


def order(status=OrderStatus.PENDING_NEW, name="x1", **facts):
    about = {
        "symbol": "IBM",
        "side": Side.BUY,
        "qty": Decimal(3),
        "type": OrderType.LIMIT,
        "price": Decimal("9.5"),
        "account": "A1",
        "client_order_id": name,
        "status": status,
        "attribution": Attribution(user="ada", account="A1", strategy="momentum", run="r1"),
    }
    return Order(**{**about, **facts})


def fill(**facts):
    about = {
        "trade_id": "T1",
        "order_id": "V1",
        "client_order_id": "x1",
        "account": "A1",
        "symbol": "IBM",
        "side": Side.BUY,
        "qty": ONE,
        "price": Decimal("9.4"),
        "fee": Decimal("0.1"),
        "fee_currency": "USD",
        "liquidity": Liquidity.TAKER,
        "time": hotplug_time(),
    }
    return Fill(**{**about, **facts})


def hotplug_time():
    from datetime import UTC, datetime

    return datetime(2026, 1, 2, tzinfo=UTC)


# -- the group -----------------------------------------------------------------------------------------


def test_the_verbs_are_shown(ask, plugin):
    """
    Help names our verbs, and those that distributions advertise with a dot; nothing of these is imported.
    """
    plugin("raise SystemExit", name="serve", group="hotplug.commands", distribution="x-serve", value="s")
    answer = ask("--help")
    assert answer.exit_code == 0
    for name in ("list", "orders", "health", "halt", "resume"):
        assert f"  {name} " in answer.stdout
    assert "broker.serve" not in answer.stdout


COMMAND = "import click\n@click.command()\ndef serve():\n    click.echo('served')\n"


@pytest.fixture
def serve(environment):
    def install(code=COMMAND, distribution="acme-serve", name="broker.serve"):
        module = distribution.replace("-", "_")
        environment.install(
            distribution,
            "1.0",
            advertises={"hotplug.commands": {name: f"{module}:serve"}},
            files={f"{module}.py": code},
        )

    return install


def test_distributions_add_verbs(ask, cli, serve):
    """
    An entry point called broker.NAME is a verb of the group, imported when it is run, and no verb of its own.
    """
    serve()
    assert "from acme-serve 1.0" in ask("--help").stdout
    assert ask("serve").stdout == "served\n"
    assert "broker.serve" not in cli("--help").stdout
    assert cli("broker.serve").exit_code == 2


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise OSError('no port')", "no port"),
        ("serve = 5", "neither a click command"),
        ("def serve():\n    raise OSError('at run time')", "commands/broker.serve from acme-serve 1.0"),
    ],
)
def test_a_verb_that_fails_is_named(ask, serve, code, text):
    """
    Whatever is wrong with a distribution's verb ends as an error that names it.
    """
    serve(code)
    answer = ask("serve")
    assert answer.exit_code == 1
    assert text in answer.stderr


def test_a_verb_that_may_not_load_says_why(ask, serve):
    """
    Two distributions with one verb are a conflict, as everywhere.
    """
    serve()
    serve(distribution="other-serve")
    answer = ask("serve")
    assert answer.exit_code == 1
    assert "conflict" in answer.stderr


def test_an_unknown_verb_has_a_hint(ask):
    """
    A slip of the pen is a usage error with the nearest verb.
    """
    answer = ask("hlat")
    assert answer.exit_code == 2
    assert "did you mean 'halt'" in answer.stderr


def test_completion_imports_nobody(ask, cli, serve, monkeypatch):
    """
    Names are completed without an import.
    """
    from click.shell_completion import ShellComplete

    from hotplug._cli._app import app

    serve("raise SystemExit('imported')")
    completion = ShellComplete(app, {}, "hotplug", "_HOTPLUG_COMPLETE")
    found = completion.get_completions(["broker"], "h")
    assert {item.value for item in found} == {"halt", "health"}


# -- list and health -----------------------------------------------------------------------------------


def test_list_tells_what_files_tell(ask, journal, folder):
    """
    The list shows each broker with its connection, open and unknown orders, halts, and the host that runs it.
    """
    journal.append(StatusChange(old=GatewayStatus.SYNCING, new=GatewayStatus.READY))
    journal.append(order(OrderStatus.NEW), note="ack")
    journal.append(order(OrderStatus.UNKNOWN, "x2"), note="unknown")
    Halts(HaltFile(folder / "halts.json")).shut(Halt.now("storm", key="main"))

    answer = ask("list", "--json", more="[brokers.idle]\nplugin = 'acme'")

    assert answer.exit_code == 0
    idle, main = json.loads(answer.stdout)
    assert (idle["key"], idle["journal"], idle["halted"]) == ("idle", None, [])
    assert (main["plugin"], main["distribution"], main["connect"]) == ("acme", "acme-broker", True)
    assert (main["status"], main["open_orders"], main["unknown_orders"]) == ("READY", 2, 1)
    assert main["held_by"].startswith(f"pid {os.getpid()} on ")
    assert [halt["reason"] for halt in main["halted"]] == ["storm"]
    shown = ask("list", more="[brokers.idle]\nplugin = 'acme'").stdout
    assert "in memory: its host knows" in shown
    assert "READY" in shown
    assert "storm" in shown


def test_a_list_of_nothing(cli, tmp_path):
    """
    Where there are no brokers the list says so; a journal alone is listed by its name.
    """
    config = '[host]\ndata = "data"\n'
    assert "no brokers here" in cli("broker", "list", config=config).stdout
    FileJournal(tmp_path / "data" / "orders" / "gone.jsonl").close()
    [gone] = json.loads(cli("broker", "list", "--json", config=config).stdout)
    assert (gone["key"], gone["plugin"], gone["held_by"]) == ("gone", "", None)
    assert "no host" in cli("broker", "list", config=config).stdout


def test_health_says_what_is_wrong(ask, journal, folder):
    """
    Nothing wrong is exit code 0; a connection not READY, an unknown order and a halt are 1, each named.
    """
    journal.append(StatusChange(old=GatewayStatus.SYNCING, new=GatewayStatus.READY))
    answer = ask("health")
    assert (answer.exit_code, answer.stdout) == (0, "nothing is wrong, as far as files tell\n")

    journal.append(StatusChange(old=GatewayStatus.READY, new=GatewayStatus.RECONNECTING))
    journal.append(order(OrderStatus.UNKNOWN))
    Halts(HaltFile(folder / "halts.json")).shut(Halt.now("storm"))
    answer = ask("health", "main")
    assert answer.exit_code == 1
    for text in ("main: halted: storm", "main: RECONNECTING since 20", "main: 1 order of unknown outcome"):
        assert text in answer.stdout
    [main] = json.loads(ask("health", "main", "--json").stdout)
    assert len(main["issues"]) == 3
    assert ask("health", "mian").exit_code == 2


def test_a_host_that_never_connected_is_ill(ask, journal):
    """
    A journal that is held, without any status, is a gateway that was never connected.
    """
    assert "never connected since the start" in ask("health").stdout


# -- orders --------------------------------------------------------------------------------------------


def test_the_story_of_an_order(ask, journal):
    """
    From its journal alone: what was asked for whom, and all that became of it, fills and halts included.
    """
    journal.append(order(), note="intent", must=True)
    journal.append(order(OrderStatus.NEW, order_id="V1"), note="ack")
    journal.append(fill())
    journal.append(order(OrderStatus.PARTIALLY_FILLED, order_id="V1", filled_qty=ONE), note="fill")
    journal.append(fill(trade_id="T2", client_order_id=None, late=True))
    journal.append(fill(trade_id="T3", order_id="V9", client_order_id="of nobody here"))
    journal.append(
        order(OrderStatus.CANCELED, order_id="V1", filled_qty=Decimal(2), reason="enough"), note="update"
    )
    journal.append(order(OrderStatus.NEW, "x2", attribution=Attribution(), price=None), note="ack")
    journal.record("halt", reason="storm", user="ada")
    journal.record("denied", reason="too much")

    answer = ask("orders", "main")
    shown = answer.stdout

    assert answer.exit_code == 0
    assert "x1  BUY 3 IBM LIMIT @ 9.5  CANCELED" in shown
    assert "account A1, venue id V1, user ada, strategy momentum, run r1" in shown
    assert "intent -> PENDING_NEW (0 filled)" in shown
    assert "fill 1 @ 9.4 (trade T1)" in shown
    assert "fill -> PARTIALLY_FILLED (1 filled)" in shown
    assert "fill 1 @ 9.4 (trade T2, late)" in shown
    assert "T3" not in shown
    assert "update -> CANCELED (2 filled): enough" in shown
    assert "halt (user ada): storm" in shown
    assert "denied: too much" in shown
    assert shown.endswith("2 orders, 1 open\n")
    whole = json.loads(ask("orders", "main", "--json").stdout)
    assert [story["client_order_id"] for story in whole] == ["x1", "x2"]
    told = [event["event"] for event in whole[0]["events"]]
    assert told == ["intent", "ack", "fill", "fill", "fill", "update"]
    assert [s["client_order_id"] for s in json.loads(ask("orders", "main", "--open", "--json").stdout)] == [
        "x2"
    ]
    assert [
        s["client_order_id"] for s in json.loads(ask("orders", "main", "--user", "ada", "--json").stdout)
    ] == ["x1"]
    assert json.loads(ask("orders", "main", "--user", "eve", "--json").stdout) == []


def test_what_nobody_knows_is_marked(ask, folder):
    """
    UNKNOWN orders are marked, and intents without an answer once their host is gone; the exit code is 1.
    """
    log = EventLog(FileJournal(folder / "main.jsonl"))
    log.append(order(OrderStatus.UNKNOWN, "doubted"), note="unknown")
    log.append(order(OrderStatus.PENDING_NEW, "intended"), note="intent")
    log.append(order(OrderStatus.PENDING_NEW, "theirs", origin=Origin.EXTERNAL), note="external")
    told = {
        story.order["client_order_id"]: story.is_unknown
        for story in read("main", folder / "main.jsonl").stories
    }
    assert told == {"doubted": True, "intended": False, "theirs": False}
    log.close()

    answer = ask("orders", "main")

    assert answer.exit_code == 1
    assert "doubted  BUY 3 IBM LIMIT @ 9.5  UNKNOWN  !! UNKNOWN" in answer.stdout
    assert "intended  BUY 3 IBM LIMIT @ 9.5  PENDING_NEW  !! UNKNOWN" in answer.stdout
    assert answer.stdout.count("!!") == 2
    assert "3 orders, 3 open, 2 UNKNOWN" in answer.stdout


def test_what_was_put_aside_is_told_first(ask, folder):
    """
    A journal that was begun anew is told with what it was before, oldest first.

    Each line of it is told once: what was carried over, and what a crash left in two files.
    """
    file = FileJournal(folder / "main.jsonl")
    log = EventLog(file)
    log.append(order(), note="intent", must=True)
    log.append(fill())
    log.append(order(OrderStatus.NEW, order_id="V1", filled_qty=ONE), note="ack")
    log.append(order(OrderStatus.CANCELED, "ended"), note="update")
    log.record("halt", reason="storm")
    oldest = log.rotate([order(OrderStatus.NEW, order_id="V1", filled_qty=ONE), fill()])
    log.append(order(OrderStatus.PENDING_CANCEL, order_id="V1", filled_qty=ONE), note="cancel")
    newer = log.rotate([order(OrderStatus.PENDING_CANCEL, order_id="V1", filled_qty=ONE), fill()])
    log.append(order(OrderStatus.CANCELED, order_id="V1", filled_qty=ONE), note="update")
    log.close()
    log = EventLog(FileJournal(folder / "main.jsonl"))  # another epoch, whose numbers go on
    log.append(order(OrderStatus.NEW, "x2"), note="ack")
    log.close()
    (folder / "main.20200101T000000.000000Z.jsonl").write_bytes(oldest.read_bytes())
    (folder / "main.20200101T000000.000000Z.jsonl.bak").write_text("no journal")
    (folder / "main2.20200101T000000.000000Z.jsonl").write_text("no journal of this broker\n")
    assert put_aside(folder / "main.jsonl") == sorted(
        [folder / "main.20200101T000000.000000Z.jsonl", oldest, newer]
    )

    whole = {story["client_order_id"]: story for story in json.loads(ask("orders", "main", "--json").stdout)}

    assert list(whole) == ["x1", "ended", "x2"]
    assert [event["event"] for event in whole["x1"]["events"]] == [
        "intent",
        "fill",
        "ack",
        "cancel",
        "update",
    ]
    assert whole["x1"]["status"] == "CANCELED"
    assert ask("orders", "main").stdout.count("halt: storm") == 1
    oldest.unlink()
    newer.unlink()
    (folder / "main.20200101T000000.000000Z.jsonl").unlink()
    whole = json.loads(ask("orders", "main", "--json").stdout)
    assert [event["event"] for event in whole[0]["events"]] == ["carried", "fill", "update"]
    assert [story["client_order_id"] for story in whole] == ["x1", "x2"]


def test_what_was_put_aside_of_another_journal_is_told_too(ask, folder):
    """
    Numbers that begin anew, as after the journal was removed, are others: nothing is taken for told.
    """
    for name in ("x1", "x2"):
        log = EventLog(FileJournal(folder / "main.jsonl"))
        log.append(order(OrderStatus.NEW, name), note="ack")
        aside = log.rotate([])
        log.close()
        (folder / "main.jsonl").unlink()
    aside.rename(folder / "main.jsonl")

    whole = json.loads(ask("orders", "main", "--json").stdout)

    assert [story["client_order_id"] for story in whole] == ["x1", "x2"]


def test_no_journal_no_story(ask, folder):
    """
    Without a journal there is nothing to tell, and the text says what would change that.
    """
    answer = ask("orders", "main")
    assert answer.exit_code == 1
    assert "journal = true" in answer.stderr
    assert ask("orders", "mian").exit_code == 2
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.jsonl").mkdir()
    answer = ask("orders", "main")
    assert answer.exit_code == 1
    assert "cannot be read" in answer.stderr


def test_an_empty_journal(ask, folder):
    """
    A journal without orders tells of none.
    """
    FileJournal(folder / "main.jsonl").close()
    assert ask("orders", "main").stdout == "0 orders, 0 open\n"


def test_a_wrong_option_of_a_broker_is_a_wrong_configuration(ask, cli):
    """
    Options of brokers that make no sense are told with their line, by every verb that reads the file.
    """
    wrong = "[brokers.bad]\nmode = 'x'"
    for answer in (ask("list", more=wrong), cli("list"), cli("config", "plan")):
        assert answer.exit_code == 2
        assert "[brokers.bad.mode]" in answer.stderr
    answer = cli("config", "check", "--json")
    assert (answer.exit_code, json.loads(answer.stdout)[0]["line"]) == (1, 9)


# -- who holds it --------------------------------------------------------------------------------------


def test_a_holder_that_is_gone_holds_nothing(tmp_path, monkeypatch):
    """
    A note of a process that ended is no holder; one of another machine, or of another's process, is.
    """
    path = tmp_path / "main.jsonl"
    assert holder_of(path) is None
    write_holder(tmp_path / "main.jsonl.lock")
    assert pid_of([holder_of(path), None]) == [os.getpid()]

    def gone(pid, signal):
        raise ProcessLookupError

    def forbidden(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", gone)
    assert holder_of(path) is None
    monkeypatch.setattr(os, "kill", forbidden)
    assert holder_of(path) is not None
    (tmp_path / "main.jsonl.lock").write_text("pid 1 on another-machine since 2026")
    monkeypatch.setattr(os, "kill", gone)
    assert holder_of(path) == "pid 1 on another-machine since 2026"
    assert pid_of([holder_of(path)]) == []


# -- halt and resume -----------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(brake, "NO_JOURNAL", 0.02)
    monkeypatch.setattr(brake, "LOOK_AGAIN", 0.002)


def test_halting_without_a_host(ask, folder, quick):
    """
    What is halted on the command line holds for hosts that start later; resuming lifts it.
    """
    answer = ask("halt", "storm")
    assert (answer.exit_code, "no running host was seen" in answer.stdout) == (0, True)
    ask("halt", "hers", "--user", "ada", "--key", "main")
    assert [str(halt) for halt in Halts(HaltFile(folder / "halts.json")).in_force()] == [
        "every broker: storm",
        "broker 'main', user 'ada': hers",
    ]
    answer = ask("resume", "calm", "--json")
    told = json.loads(answer.stdout)
    assert (answer.exit_code, [halt["reason"] for halt in told["in_force"]], told["hosts"]) == (
        0,
        ["hers"],
        [],
    )
    assert ask("resume", "pardon", "--user", "ada").exit_code == 0
    assert Halts(HaltFile(folder / "halts.json")).in_force() == ()


@pytest.mark.parametrize("verb", ["halt", "resume"])
def test_what_is_no_halt(ask, folder, verb):
    """
    An unknown broker, or no reason, is a usage error; a folder that cannot be written is an error.
    """
    for arguments in (("storm", "--key", "mian"), (" ",), ()):
        assert ask(verb, *arguments).exit_code == 2
    folder.parent.mkdir()
    folder.write_text("a file")
    answer = ask(verb, "storm")
    assert answer.exit_code == 1
    assert "reach any host" in answer.stderr or "nothing was resumed" in answer.stderr


def test_a_running_host_obeys(cli, ask, folder, environment, tmp_path, monkeypatch):
    """
    A host that runs shuts its gates, cancels its own open orders and says so; resuming reaches it, too.
    """
    monkeypatch.chdir(tmp_path)
    host = hotplug.Host(
        hotplug.Config.parse(CONFIG.format(""), folder=tmp_path), path=environment.path, cache=False
    )
    monkeypatch.syspath_prepend(str(environment.folder))

    def place(name):
        return host.brokers.sync("main", UserExecutionContext("ada")).place_order(
            OrderRequest(
                symbol="X",
                side=Side.BUY,
                qty=ONE,
                type=OrderType.LIMIT,
                price=ONE,
                tif=TimeInForce.GTC,
                client_order_id=name,
            )
        )

    with host:
        place("a")
        place("b")
        answer = ask("halt", "storm")
        assert answer.exit_code == 0
        assert f"host pid {os.getpid()} obeys: 2 orders seen to" in answer.stdout
        with pytest.raises(Halted):
            place("c")
        assert host.brokers.sync("main").get_open_orders() == ()
        answer = ask("resume", "calm", "--json")
        [told] = json.loads(answer.stdout)["hosts"]
        assert (told["pid"], told["done"], answer.exit_code) == (os.getpid(), True, 0)
        place("d")
        answer = ask("halt", "again", "--no-cancel")
        assert "obeys: 0 orders seen to" in answer.stdout
    assert [order.client_order_id for order in host.close().open_orders] == ["d"]
    assert list((folder / "acks").iterdir()) == []


def test_a_host_that_does_not_answer_is_named(ask, journal, quick):
    """
    A process that holds a journal and does not acknowledge is named, and the exit code is 1.
    """
    answer = ask("halt", "storm", "--wait", "0.05")
    assert answer.exit_code == 1
    assert f"host pid {os.getpid()} has NOT answered" in answer.stdout
    assert json.loads(ask("resume", "calm", "--wait", "0.05", "--json").stdout)["silent"] == [os.getpid()]


def test_what_was_not_cancelled_is_told(ask, folder, journal, quick):
    """
    Orders that a host could not cancel are named, as is a host that is at it still; the code is 1.
    """
    acks = Acks(folder / "acks")
    acks.write(1, done=True, results=[hotplug.BrokerError("too late")])
    answer = ask("halt", "storm")
    assert answer.exit_code == 1
    assert "not cancelled: too late" in answer.stdout

    acks.write(2, done=False)
    answer = ask("halt", "storm", "--wait", "0.05")
    assert answer.exit_code == 1
    assert "still at it" in answer.stdout


def test_a_host_that_is_at_it_is_waited_for(ask, folder, journal, quick):
    """
    The command waits until a host has finished cancelling.
    """
    acks, waiting = Acks(folder / "acks"), threading.Event()
    acks.write(1, done=False)
    look = brake.read_acks

    def looks(*arguments):
        found = look(*arguments)
        if waiting.is_set():
            acks.write(1, done=True)
        waiting.set()
        return found

    brake.read_acks = looks
    try:
        assert ask("halt", "storm").exit_code == 0
    finally:
        brake.read_acks = look


def test_it_is_a_command_of_the_installed_script(tmp_path):
    """
    `hotplug broker` works from the command line as it is installed.
    """
    (tmp_path / "hotplug.toml").write_text('[host]\ndata = "data"\n')
    answer = subprocess.run(
        [sys.executable, "-m", "hotplug", "broker", "list", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "mock" in {fact["key"] for fact in json.loads(answer.stdout)}
