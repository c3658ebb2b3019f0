"""The command line: what an operator sees, and what programs read."""

from __future__ import annotations

import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import click
import pytest
from rich.console import Console

import hotplug
from hotplug._cli import main
from hotplug._cli._app import app
from hotplug._cli._scene import Scene
from hotplug._cli._screen import Screen, safe

TOOL = "def adder(a: int, b: int) -> int:\n    return a + b\n"
EXPLODES = "raise SystemExit('imported!')"
COMMAND = """
import click

@click.command(help="Says hello.")
@click.option("--name", default="you")
def hello(name):
    click.echo(f"hello {name}")
"""


@pytest.fixture
def tool(environment):
    """Installs a tool under a name, with other code if wanted."""

    def install(name="adder", code=TOOL, *, distribution=None, value=None, **facts):
        module = f"{name}_module"
        return environment.install(
            distribution or f"acme-{name}",
            "1.0",
            advertises={"hotplug.tools": {name: value or f"{module}:adder"}},
            files={f"{module}.py": code},
            **facts,
        )

    return install


@pytest.fixture
def command(environment):
    """Installs a distribution with a verb."""

    def install(code=COMMAND, *, name="hello", value="acme_commands:hello"):
        environment.install(
            "acme-commands",
            "2.0",
            advertises={"hotplug.commands": {name: value}},
            files={"acme_commands.py": code},
        )

    return install


def python(*arguments, **variables):
    """A real process, as a shell would start it."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        env={**os.environ, **variables},
        check=False,
        timeout=60,
    )


# -- list ------------------------------------------------------------------------------------------


def test_list_shows_a_plugin_without_importing_it(cli, tool):
    """
    A plugin whose module explodes is listed, with where it comes from.
    """
    tool("adder", EXPLODES)

    answer = cli("list")

    assert answer.exit_code == 0
    assert "○ discovered  tools/adder  acme-adder 1.0" in answer.stdout.splitlines()
    assert "adder_module" not in sys.modules


def test_list_as_json(cli, tool):
    """
    `list --json` is an array of objects with the eight keys that programs rely on.
    """
    tool()

    [row] = json.loads(cli("list", "--json").stdout)

    assert (
        row
        | {
            "kind": "tools",
            "name": "adder",
            "key": "adder",
            "distribution": "acme-adder",
            "version": "1.0",
            "state": "discovered",
            "reason": "",
            "remedy": "",
        }
        == row
    )


def test_list_shows_what_the_configuration_makes_of_it(cli, tool):
    """
    A configured plugin stands under its key, a disabled one says so, a missing one what would help.
    """
    tool("adder")
    tool("legacy")

    answer = cli(
        "list",
        "--json",
        config='[plugins]\ndisable = ["tools/legacy"]\n'
        '[tools.plus]\nplugin = "adder"\n[tools.minus]\nplugin = "subber"\n',
    )

    rows = {row["key"]: row for row in json.loads(answer.stdout)}
    assert answer.exit_code == 0
    assert (rows["plus"]["name"], rows["plus"]["state"]) == ("adder", "discovered")
    assert (rows["legacy"]["state"], rows["legacy"]["reason"]) == ("disabled", "disabled")
    assert rows["minus"]["reason"] == "not installed"
    assert "install" in rows["minus"]["remedy"]


def test_list_exits_with_0_whatever_it_lists(cli, environment, tool):
    """
    A broken environment and a conflict are listed, counted, and no reason to fail.
    """
    tool("adder", distribution="acme-one")
    tool("adder", distribution="acme-two")
    environment.install("acme-bad", advertises={"hotplug.tools": {"bad": "bad:bad"}})
    [points] = environment.folder.glob("acme_bad-*/entry_points.txt")
    points.write_text("[hotplug.tools]\nno equals sign\n")

    answer = cli("list")

    assert answer.exit_code == 0
    assert answer.stdout.count("≠ conflict") == 2
    assert "entry_points.txt:2: has no '='" in answer.stdout
    assert answer.stdout.splitlines()[-1] == "2 plugins, 3 problems: run hotplug doctor"


def test_list_names_what_is_broken_to_programs_too(cli, environment):
    """
    A distribution that cannot be read is in the JSON, as something of the environment.
    """
    environment.install("acme", advertises={"hotplug.tools": {"bad": "bad:bad"}})
    [points] = environment.folder.glob("acme-*/entry_points.txt")
    points.write_text("[hotplug.tools]\nno equals sign\n")

    [row] = json.loads(cli("list", "--json").stdout)

    assert (row["kind"], row["distribution"], row["state"]) == ("environment", "acme", "broken")
    assert (row["path"], row["line"]) == (str(points), 2)
    assert "install acme again" in row["remedy"]


def test_list_one_kind(cli, tool, command):
    """
    `--kind` leaves out the others.
    """
    tool()
    command()

    rows = json.loads(cli("list", "--kind", "commands", "--json").stdout)

    assert [row["name"] for row in rows] == ["hello"]


def test_list_an_unknown_kind(cli):
    """
    A kind that does not exist is a usage error with a close match.
    """
    answer = cli("list", "--kind", "tolls")

    assert answer.exit_code == 2
    assert "did you mean 'tools'?" in answer.stderr


def test_an_empty_environment_says_what_to_do(cli):
    """
    Where nothing is installed, `list` says what to install and how to write one.
    """
    answer = cli("list")

    assert cli("list", "--kind", "tools").stdout == "\n0 plugins\n"
    assert answer.exit_code == 0
    assert "pip install" in answer.stdout
    assert '[project.entry-points."hotplug.brokers"]' in answer.stdout
    assert answer.stdout.splitlines()[-1] == "0 plugins"


def test_the_order_is_the_same_for_any_order_of_installation(cli, environment, tool):
    """
    What was installed first does not matter.
    """
    tool("b")
    tool("a")
    before = cli("list").stdout
    for name in ("acme-a", "acme-b"):
        environment.uninstall(name)
    tool("a")
    tool("b")

    assert cli("list").stdout == before


# -- what a terminal obeys -------------------------------------------------------------------------


def test_names_are_shown_and_never_obeyed(cli, environment):
    """
    Control characters, bidi overrides and rich's markup in names reach nobody's terminal as such.
    """
    environment.install("acme", advertises={"hotplug.tools": {"x\x1b[31m\u202e[red]y": "m:f"}})

    shown, program = cli("list").stdout, cli("list", "--json").stdout

    assert "tools/x\\x1b[31m\\u202e[red]y" in shown
    assert program.isascii()
    assert json.loads(program)[0]["name"] == "x\x1b[31m\u202e[red]y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Grüße 東京", "plain Grüße 東京"),
        ("a\tb\r\n", "a\\tb\\r\\n"),
        ("\x7f\x9b\u2028\ud800\ufeff", "\\x7f\\x9b\\u2028\\ud800\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text, shown):
    """
    Letters of every script stay, everything invisible is spelled out.
    """
    assert safe(text) == shown


def test_escaped_text_keeps_its_lines_where_it_has_lines():
    """
    Of a text with lines, only the line ends stay.
    """
    assert safe("a\n\tb\r", lines=True) == "a\n\\tb\\r"


def terminal(width=80):
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, markup=False, highlight=False, emoji=False
    )


def test_on_a_terminal_a_table_fits_and_loses_nothing():
    """
    Eighty columns hold every row, folded where it is longer; no name is cut short.
    """
    console = terminal()
    screen = Screen(console)

    screen.table(["STATE", "PLUGIN"], [(screen.state("failed"), "brokers/" + "long" * 30)])
    screen.line("word " * 40, indent=2)

    lines = console.file.getvalue().splitlines()
    plain = [click.unstyle(line) for line in lines]
    assert max(map(len, plain)) <= 80
    assert "".join(line.strip() for line in plain).count("long") == 30
    assert sum(line.count("word") for line in plain) == 40
    assert all(line.startswith("  ") for line in plain if "word" in line)


def test_markup_means_nothing_on_a_terminal():
    """
    Brackets in a name are brackets.
    """
    console = terminal()

    Screen(console).table(["PLUGIN"], [("tools/[red]x[/red]:smile:",)])

    assert "tools/[red]x[/red]:smile:" in click.unstyle(console.file.getvalue())


def test_states_are_words_without_colour_and_without_unicode():
    """
    An icon never stands alone, and where the stream cannot show it another one does.
    """
    ascii_only = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"))

    assert Screen(ascii_only).state("loaded").plain == "+ loaded"
    assert Screen(terminal()).state("loaded").plain.endswith(" loaded")
    assert Screen(terminal()).state("new to us").plain == "? new to us"


def test_without_a_terminal_rows_are_whole_lines(cli, environment):
    """
    In a pipe nothing is folded or coloured: every row is one line that grep finds.
    """
    name = "n" * 200
    environment.install("acme", advertises={"hotplug.tools": {name: "m:f"}})

    stdout = cli("list").stdout

    assert "\x1b" not in stdout
    assert [line for line in stdout.splitlines() if name in line and "acme 1.0" in line]


# -- show ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tools/plus", "plus", "adder", "tools/adder", "acme-adder", "Acme_Adder"])
def test_show_finds_a_plugin_by_any_of_its_names(cli, tool, name):
    """
    kind/key, key, entry point and distribution all lead there.
    """
    tool()

    answer = cli("show", name, "--json", config='[tools.plus]\nplugin = "adder"\n')

    assert answer.exit_code == 0
    assert json.loads(answer.stdout)["key"] == "plus"


def test_show_tells_all_but_secrets(cli, tool):
    """
    Record, path and settings are shown, a secret is `***`, and nothing is imported.
    """
    info = tool("adder", EXPLODES)
    config = '[tools.adder]\ntags = ["sum"]\noffer = true\nsettings = { token = { env = "TOKEN" }, n = 3 }\n'

    fact = json.loads(cli("show", "adder", "--json", config=config).stdout)
    shown = cli("show", "adder").stdout

    assert fact["path"] == str(info)
    assert (fact["value"], fact["group"]) == ("adder_module:adder", "hotplug.tools")
    assert (fact["tags"], fact["settings"]) == (["sum"], {"token": "***", "n": 3})
    assert fact["configured_at"] == 1
    assert "token = ***" in shown
    assert "TOKEN" not in shown
    assert "○ discovered" in shown


def test_show_asks_which_one(cli, environment):
    """
    A name that several plugins have is a usage error that lists them.
    """
    environment.install("acme", advertises={"hotplug.tools": {"x": "m:x"}, "hotplug.agents": {"x": "m:y"}})

    answer = cli("show", "x")

    assert answer.exit_code == 2
    assert "'agents/x', 'tools/x'" in answer.stderr
    assert cli("show", "tools/x").exit_code == 0


def test_show_names_the_rivals(cli, tool):
    """
    Where two distributions claim one name, both are shown.
    """
    tool("adder", distribution="acme-one")
    tool("adder", distribution="acme-two")

    fact = json.loads(cli("show", "adder", "--json").stdout)

    assert (fact["distribution"], [rival["distribution"] for rival in fact["rivals"]]) == (
        "acme-one",
        ["acme-two"],
    )
    assert "also: acme-two 1.0: conflict" in cli("show", "adder").stdout


def test_show_says_why_something_is_not_there(cli):
    """
    What nobody advertises is not installed: exit code 1, with a remedy.
    """
    answer = cli("show", "brokers/nope", "--json")

    fact = json.loads(answer.stdout)
    assert answer.exit_code == 1
    assert (fact["kind"], fact["name"], fact["reason"]) == ("brokers", "nope", "not installed")
    assert "install" in fact["remedy"]


# -- the verbs of distributions --------------------------------------------------------------------


def test_a_distribution_brings_a_verb(cli, command):
    """
    A click command runs with its arguments.
    """
    command()

    answer = cli("hello", "--name", "Ada")

    assert (answer.exit_code, answer.stdout) == (0, "hello Ada\n")


def test_help_names_the_verbs_of_distributions_without_importing_them(cli, command):
    """
    `--help` shows the verb and where it comes from; only its own help imports it.
    """
    command()

    general = cli("--help").stdout
    imported = "acme_commands" in sys.modules
    own = cli("hello", "--help").stdout

    assert "hello  from acme-commands 2.0" in general
    assert not imported
    assert "Says hello." in own


@pytest.mark.parametrize(
    ("code", "exit_code", "stdout"),
    [
        ("def hello():\n    print('hi')", 0, "hi\n"),
        ("def hello():\n    return 3", 3, ""),
        ("async def hello():\n    print('hi')\n    return 4", 4, "hi\n"),
        ("import functools\nhello = functools.partial(print, 'hi')", 0, "hi\n"),
        ("hello = type('Hello', (), {'__call__': lambda self: print('hi')})()", 0, "hi\n"),
        ("hello = dict", 0, ""),
        ("class hello:\n    def __new__(cls):\n        print('hi')", 0, "hi\n"),
        ("def hello():\n    raise SystemExit(5)", 5, ""),
        ("import click\ndef hello():\n    raise click.ClickException('no')", 1, ""),
    ],
)
def test_a_plain_callable_is_a_verb(cli, command, code, exit_code, stdout):
    """
    What takes no arguments may be a verb; an int that it returns is the exit code.
    """
    command(code)

    answer = cli("hello")

    assert (answer.exit_code, answer.stdout) == (exit_code, stdout)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit('at import')", "import raised SystemExit: at import"),
        ("import not_there", "needs the module 'not_there'"),
        ("", "has no attribute 'hello'"),
        ("hello = 3", "neither a click command nor a callable without parameters"),
        ("def hello(name): ...", "neither a click command nor a callable without parameters"),
        ("def hello(): raise ValueError('at run')", "ValueError: at run"),
        ("def hello(): raise GeneratorExit", "GeneratorExit"),
        ("import hotplug\ndef hello(): raise hotplug.HostError('closed')", "closed"),
    ],
)
def test_a_broken_verb_breaks_nothing_else(cli, command, code, why):
    """
    Whatever it raises names it and its version and ends with 1; the other verbs work.
    """
    command(code)

    answer = cli("hello")

    assert answer.exit_code == 1
    assert "commands/hello from acme-commands 2.0" in answer.stderr
    assert why in answer.stderr
    assert cli("list").exit_code == 0
    assert cli("--help").exit_code == 0


def test_policy_holds_for_verbs(cli, command):
    """
    A disabled verb is not imported, and says what would help.
    """
    command(EXPLODES)

    answer = cli("hello", config='[plugins]\ndisable = ["commands/hello"]\n')

    assert answer.exit_code == 1
    assert "remove commands/hello from [plugins] disable" in answer.stderr
    assert "acme_commands" not in sys.modules
    assert "hello  from acme-commands 2.0 (disabled)" in cli("--help").stdout


def test_nobody_takes_a_verb_of_ours(cli, command):
    """
    A distribution's `list` is a conflict; `list` is ours.
    """
    command(EXPLODES, name="list")

    answer = cli("list", "--json")

    [row] = json.loads(answer.stdout)
    assert (row["state"], row["reason"]) == ("conflict", "conflict")
    assert "is a verb of hotplug itself" in row["remedy"]
    assert "from acme-commands" not in cli("--help").stdout


def test_completion_knows_names_without_importing(cli, command, environment, monkeypatch):
    """
    Pressing a key at the prompt imports no plugin.
    """
    command(EXPLODES)
    context = app.make_context("hotplug", ["--path", str(environment.folder), "list"])

    items = [item.value for item in app.shell_complete(context, "h")]
    monkeypatch.setenv("HOTPLUG_CONFIG", "nowhere.toml")
    without = [item.value for item in app.shell_complete(context, "l")]

    assert (items, without) == (["hello"], ["list"])
    assert app.get_command(context, "list") is not None
    context.resilient_parsing = True
    assert app.get_command(context, "hello") is None


# -- usage -----------------------------------------------------------------------------------------


def test_an_unknown_verb_has_a_close_match(cli, command):
    """
    A mistyped verb ends with 2 and says what was probably meant, verbs of distributions included.
    """
    command()

    ours, theirs = cli("docter"), cli("helo")

    assert (ours.exit_code, theirs.exit_code) == (2, 2)
    assert "did you mean 'doctor'?" in ours.stderr
    assert "did you mean 'hello'?" in theirs.stderr


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_configuration_may_be_named_before_and_after_the_verb(cli, tool, tmp_path, place):
    """
    `--config` is an option of the whole.
    """
    tool()
    file = tmp_path / "other.toml"
    file.write_text('[tools.plus]\nplugin = "adder"\n')
    option = ["--config", str(file)]

    answer = cli(*option, "list", "--json") if place == "before" else cli("list", *option, "--json")

    assert [row["key"] for row in json.loads(answer.stdout)] == ["plus"]


def test_the_environment_names_the_configuration(cli, tool, tmp_path, monkeypatch):
    """
    Without `--config`, HOTPLUG_CONFIG counts.
    """
    tool()
    file = tmp_path / "other.toml"
    file.write_text('[tools.plus]\nplugin = "adder"\n')
    monkeypatch.setenv("HOTPLUG_CONFIG", str(file))

    assert "tools/plus (adder)" in cli("list").stdout


@pytest.mark.parametrize("verb", [["list"], ["show", "x"], ["doctor"], ["doctor", "x"], ["hello"]])
def test_a_wrong_configuration_is_a_clear_text(cli, verb):
    """
    Every verb says which file, which line, what is wrong; it ends with 2, without a traceback.
    """
    answer = cli(*verb, config="[host]\nload_timout = 3\n")

    assert answer.exit_code == 2
    assert "hotplug.toml:2:" in answer.stderr
    assert "load_timeout" in answer.stderr
    assert "Traceback" not in answer.output


def test_help_works_with_a_wrong_configuration(cli):
    """
    Our verbs are shown; why the others are not, too.
    """
    answer = cli("--help", config="[host]\nload_timout = 3\n")

    assert answer.exit_code == 0
    assert "doctor" in answer.stdout
    assert "hotplug.toml:2:" in answer.stdout


def test_the_version_is_told(cli):
    """
    `--version` is one line.
    """
    assert cli("--version").stdout == "hotplug 0.1.0\n"


# -- mro -------------------------------------------------------------------------------------------


def test_mro_of_the_registries(cli):
    """
    Without classes, the registries are reported, for people and for programs.
    """
    names = [report["name"] for report in json.loads(cli("mro", "--json").stdout)["classes"]]

    assert any(name.endswith("UniversalRegistry") for name in names)
    assert all(name in cli("mro").stdout for name in names)


def test_mro_of_a_class_of_a_plugin(cli, environment):
    """
    A class is named module:Name, and may come from the environment that is looked at.
    """
    environment.install("acme", files={"acme_classes.py": "class A: ...\nclass B(A): ...\n"})
    before = sys.path[:]

    answer = cli("mro", "acme_classes:B", "--json")

    assert json.loads(answer.stdout)["classes"][0]["order"][:2] == ["acme_classes.B", "acme_classes.A"]
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "exit_code", "why"),
    [
        ("nonsense", 2, "module:Name"),
        ("acme_classes:Betta", 2, "did you mean 'Beta'?"),
        ("acme_classes:number", 2, "is no class, but int"),
        ("acme_broken:B", 1, "import raised SystemExit: 3"),
        ("not_there:B", 1, "import raised ModuleNotFoundError"),
        ("acme_interrupts:B", 130, ""),
    ],
)
def test_mro_of_what_is_no_class(cli, environment, name, exit_code, why):
    """
    What cannot be reported on is said, without a traceback.
    """
    files = {"acme_classes.py": "number = 3\nclass Beta: ...\n", "acme_broken.py": "raise SystemExit(3)"}
    files["acme_interrupts.py"] = "raise KeyboardInterrupt"
    environment.install("acme", files=files)

    answer = cli("mro", name)

    assert answer.exit_code == exit_code
    assert why in answer.stderr


# -- the configuration -----------------------------------------------------------------------------


def test_plan_says_what_would_change_and_imports_nothing(cli, tool, tmp_path):
    """
    Added, changed, removed and unchanged are told apart.
    """
    for name in ("a", "b", "c", "d"):
        tool(name, EXPLODES)
    new = tmp_path / "new.toml"
    new.write_text(
        '[tools.same]\nplugin = "a"\n[tools.other]\nplugin = "b"\nsettings = { n = 2 }\n'
        '[tools.fresh]\nplugin = "c"\n'
    )
    old = '[tools.same]\nplugin = "a"\n[tools.other]\nplugin = "b"\nsettings = { n = 1 }\n'

    answer = cli("config", "plan", str(new), "--json", config=old)
    shown = cli("config", "plan", str(new)).stdout

    assert answer.exit_code == 0
    assert json.loads(answer.stdout) == {
        "added": ["tools/fresh"],
        "changed": ["tools/other"],
        "removed": ["tools/c"],
        "unchanged": ["tools/d", "tools/same"],
        "failed": [],
        "refusals": {},
    }
    assert shown.splitlines() == [
        "+ added    tools/fresh",
        "~ changed  tools/other",
        "- removed  tools/c",
    ]
    assert "a_module" not in sys.modules


def test_plan_of_the_same_is_nothing(cli, tool, tmp_path):
    """
    The configuration in force changes nothing.
    """
    tool()

    answer = cli("config", "plan", str(tmp_path / "hotplug.toml"), config='[tools.plus]\nplugin = "adder"\n')

    assert answer.stdout == "nothing changes\n"


def test_plan_says_what_a_host_would_refuse(cli, tool, tmp_path):
    """
    A plugin that is not installed and a kind that does not exist are refused: exit code 1.
    """
    tool()
    new = tmp_path / "new.toml"
    new.write_text('[tools.plus]\nplugin = "addder"\n[tolls.x]\nplugin = "adder"\n')

    answer = cli("config", "plan", str(new), "--json")

    refusals = json.loads(answer.stdout)["refusals"]
    assert answer.exit_code == 1
    assert "did you mean 'adder'?" in refusals["tools/plus"]
    assert "did you mean 'tools'?" in refusals["tolls/x (adder)"]
    assert "! refused  tools/plus: not installed" in cli("config", "plan", str(new)).stdout


def test_plan_without_a_file(cli, tool, tmp_path):
    """
    The chosen configuration is planned against none: exit code 0, and 2 where there is none to choose.
    """
    for name in ("a", "b"):
        tool(name, EXPLODES)
    none = cli("config", "plan")
    other = tmp_path / "other.toml"
    other.write_text('[plugins]\ndisable = ["tools/b"]\n')

    here = cli("config", "plan", config='[tools.plus]\nplugin = "a"\n')
    chosen = cli("--config", str(other), "config", "plan")

    assert (none.exit_code, "name a FILE" in none.stderr) == (2, True)
    assert (here.exit_code, here.stdout) == (0, "+ added    tools/plus\n- removed  tools/a\n")
    assert (chosen.exit_code, chosen.stdout) == (0, "- removed  tools/b\n")


def test_plan_leaves_kinds_open_where_hooks_may_add_some(cli, environment, tmp_path):
    """
    Only running a hook would tell which kinds it adds, so a strange kind is not refused.
    """
    environment.install("acme", advertises={"hotplug.hooks": {"h": "acme_hooks:Hooks"}})
    new = tmp_path / "new.toml"
    new.write_text("[exporters.x]\n")

    assert cli("config", "plan", str(new)).exit_code == 0


@pytest.mark.parametrize("text", ["[host]\nload_timout = 3\n", None])
def test_plan_of_a_wrong_file(cli, tmp_path, text):
    """
    A file that is wrong, or not there, ends with 2.
    """
    new = tmp_path / "new.toml"
    if text is not None:
        new.write_text(text)

    answer = cli("config", "plan", str(new))

    assert answer.exit_code == 2
    assert "new.toml" in answer.stderr


# -- how it ends --------------------------------------------------------------------------------


def test_a_fault_of_our_own_is_not_disguised(cli, monkeypatch):
    """
    Only plugin code and hotplug's own errors become texts.
    """
    monkeypatch.setattr(Scene, "survey", lambda *_: 1 / 0)

    assert isinstance(cli("list").exception, ZeroDivisionError)


@pytest.mark.parametrize("stream", [io.StringIO, lambda: io.TextIOWrapper(io.BytesIO(), encoding="ascii")])
def test_main_writes_to_any_stream(monkeypatch, stream):
    """
    `main` ends the process, whatever stands in for its standard output.
    """
    monkeypatch.setattr(sys, "argv", ["hotplug", "--version"])
    monkeypatch.setattr(sys, "stdout", out := stream())

    with pytest.raises(SystemExit) as ended:
        main()

    out.seek(0)
    assert (ended.value.code, out.read()) == (0, "hotplug 0.1.0\n")


def test_the_process_ends_with_the_exit_code(tmp_path):
    """
    `python -m hotplug` is the command line: what it says of itself reaches the shell, 1 and 2.
    """
    place = {"HOTPLUG_CONFIG": "", "HOTPLUG_CACHE": str(tmp_path)}

    codes = [
        python("-m", "hotplug", "--path", str(tmp_path), *verb, **place).returncode
        for verb in (["show", "nope"], ["lsit"])
    ]

    assert codes == [1, 2]


def test_a_stream_that_can_only_ascii(environment, tmp_path):
    """
    Names that the stream cannot encode are escaped, icons replaced; nothing breaks.
    """
    environment.install("acme", advertises={"hotplug.tools": {"größe": "m:f"}})

    answer = python(
        "-m",
        "hotplug",
        "--path",
        str(environment.folder),
        "list",
        PYTHONIOENCODING="ascii",
        PYTHONUTF8="0",
        HOTPLUG_CACHE=str(tmp_path),
    )

    assert answer.returncode == 0
    assert b"o discovered  tools/gr\\xf6\\xdfe  acme 1.0" in answer.stdout


def test_importing_hotplug_imports_no_screen():
    """
    click and rich are for who runs the command line.
    """
    code = "import sys, hotplug, hotplug._cli; print({'click', 'rich'} & set(sys.modules))"

    assert python("-c", code).stdout.strip() == b"set()"


def test_the_package_runs_as_a_program(monkeypatch, capsys):
    """
    `python -m hotplug` is the command line.
    """
    monkeypatch.setattr("sys.argv", ["hotplug", "--version"])

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(hotplug.__file__).with_name("__main__.py")), run_name="__main__")

    assert ended.value.code in (0, None)
    assert hotplug.__version__ in capsys.readouterr().out


def test_ctrl_c_is_130(cli, environment):
    """
    Who is interrupted while a verb runs ends with the code that shells expect, and no traceback.
    """
    environment.install(
        "acme-verbs",
        advertises={"hotplug.commands": {"long": "verbs:long"}},
        files={"verbs.py": "def long():\n    raise KeyboardInterrupt\n"},
    )

    result = cli("long")

    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_ctrl_c_while_it_starts(monkeypatch):
    """
    An interrupt that comes before the first verb is known is the same.
    """

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("hotplug._cli._app.run", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 130
