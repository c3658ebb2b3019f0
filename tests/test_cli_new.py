"""``hotplug new``: what it makes works, and it makes nothing by halves."""

from __future__ import annotations

import ast
import importlib
import io
import json
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import hotplug
from hotplug._cli import _new
from hotplug._cli._app import app
from hotplug.testing import Environment
from hotplug.testing._suite import Suite

KINDS = {
    "broker": ("brokers", "BlueSkyBroker"),
    "agent": ("agents", "BlueSkyAgent"),
    "tool": ("tools", "blue_sky_tool"),
    "strategy": ("strategies", "BlueSkyStrategy"),
    "service": ("services", "BlueSkyService"),
}

LACKS = {"broker": ("INSTRUMENTS", "MODIFY", "SIMULATED")}


def run(*arguments, code=0):
    """What ``hotplug new`` writes, when it ends with *code*."""
    done = CliRunner().invoke(app, ["new", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes a distribution, which can be imported as long as the test runs."""
    monkeypatch.setenv("HOTPLUG_DATA", str(tmp_path / "data"))
    before = set(sys.modules)

    def make(kind, name="blue-sky"):
        run(kind, name, "--into", tmp_path)
        folder = tmp_path / f"{name}-{kind}"
        for part in ("src", "tests"):
            monkeypatch.syspath_prepend(folder / part)
        return folder

    yield make
    for name in set(sys.modules) - before:
        if "blue_sky" in name or "acme" in name:
            del sys.modules[name]


def code_lines(text):
    """How many lines of *text* are code: neither blank nor comment nor docstring."""
    tree = ast.parse(text)
    told = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)
    }
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {
        line
        for token in tokens
        if token.type not in silent and token.string
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - told)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_passes_its_suite(kind, made):
    """
    Every test of the new distribution passes as it is; none of them is left out.
    """
    made(kind)
    module = importlib.import_module(f"test_blue_sky_{kind}")
    [suite] = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Suite) and each.__module__ == module.__name__
    ]
    passed, reasons = 0, set()

    for name in (name for name in dir(suite) if name.startswith("test_")):
        try:
            getattr(suite(), name)()
        except pytest.skip.Exception as skipped:
            reasons.add(str(skipped))
        else:
            passed += 1

    assert passed >= 7
    assert reasons == {f"blue-sky is not {each}" for each in LACKS.get(kind, ())}


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_finds_what_is_made(kind, made, tmp_path):
    """
    Its entry point is in the group of its kind, and leads to an object of that kind.
    """
    folder = made(kind)
    plural, target = KINDS[kind]
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    site = Environment(tmp_path / "site")
    site.install(project["name"], project["version"], advertises=project["entry-points"])

    assert project["entry-points"] == {f"hotplug.{plural}": {"blue-sky": f"blue_sky_{kind}:{target}"}}
    settings = '[brokers.blue-sky]\nsettings = { url = "http://127.0.0.1:1" }\n' if kind == "broker" else ""
    context = None if kind == "broker" else hotplug.UserExecutionContext("ada")
    with hotplug.Host(hotplug.Config.parse(settings), path=[str(site.folder)]) as host:
        registry = host.registry(plural)
        assert registry.keys() == ("blue-sky",)
        registry.get("blue-sky", context)
        assert [status.state for status in host.plugins] == ["loaded"]


def test_a_working_gateway_fits_in_60_lines(made):
    """
    The broker, which speaks HTTP to a venue, has at most 60 lines of code.
    """
    folder = made("broker")

    assert code_lines((folder / "src" / "blue_sky_broker" / "__init__.py").read_text()) <= 60


@pytest.mark.parametrize("kind", KINDS)
def test_no_placeholder_is_left(kind, made):
    """
    Nothing in the files or their names speaks of the pattern that they were made from.
    """
    folder = made(kind)

    for file in folder.rglob("*"):
        assert "acme" not in file.name.lower()
        if file.is_file():
            text = file.read_text()
            for word in ("acme", "Acme", "GROUP", "TARGET", "RANGE", "TESTS"):
                assert word not in text, f"{file}: {word}"


def test_a_name_may_look_like_the_patterns(made):
    """
    What is called like the pattern itself, and more, comes out right.
    """
    folder = made("agent", "acme-one")

    module = importlib.import_module("acme_one_agent")
    assert module.AcmeOneAgent.__name__ == "AcmeOneAgent"
    assert 'acme-one = "acme_one_agent:AcmeOneAgent"' in (folder / "pyproject.toml").read_text()


def test_it_requires_this_hotplug(made):
    """
    The new distribution requires the line of versions that it was made with.
    """
    folder = made("tool")
    [requirement] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]

    assert requirement == "hotplug>=0.1,<0.2"
    assert hotplug.__version__.startswith("0.1.")


def test_it_tells_what_to_do_next(tmp_path):
    """
    The answer lists the files and says how to see the thing work; the kind may be in the plural.
    """
    output = run("strategies", "acme", "--into", tmp_path)

    assert "strategies/acme" in output
    assert "src/acme_strategy/__init__.py" in output
    assert "pip install -e . pytest hotplug-broker-paper && pytest" in output


def test_programs_are_told_in_json(tmp_path):
    """
    With ``--json`` the answer is an object: folder, files, distribution and plugin.
    """
    answer = json.loads(run("tool", "acme", "--into", tmp_path, "--json"))

    assert answer.pop("files") == sorted(
        str(file.relative_to(tmp_path / "acme-tool")) for file in tmp_path.rglob("*") if file.is_file()
    )
    assert answer == {
        "folder": str(tmp_path / "acme-tool"),
        "distribution": "acme-tool",
        "plugin": "tools/acme",
    }


def test_it_is_made_here_unless_told_otherwise(tmp_path, monkeypatch):
    """
    Without ``--into`` the folder is made in the current one; with it, missing folders are made, too.
    """
    monkeypatch.chdir(tmp_path)

    run("tool", "acme")
    run("tool", "acme", "--into", "some/where")

    assert (tmp_path / "acme-tool" / "pyproject.toml").is_file()
    assert (tmp_path / "some" / "where" / "acme-tool" / "pyproject.toml").is_file()


@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_what_is_there_is_not_touched(tmp_path, what):
    """
    Where the folder's name is taken, whatever by, nothing is written.
    """
    taken = tmp_path / "acme-tool"
    if what == "folder":
        taken.mkdir()
    elif what == "file":
        taken.write_text("mine")
    else:
        taken.symlink_to(tmp_path / "nowhere")

    output = run("tool", "acme", "--into", tmp_path, code=2)

    assert "exists already: nothing was written" in output
    assert list(tmp_path.iterdir()) == [taken]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Acme Desk", "did you mean 'acme-desk'?"),
        ("acme_desk", "did you mean 'acme-desk'?"),
        ("7acme", "did you mean 'acme'?"),
        ("acme--x", "did you mean 'acme-x'?"),
        ("-", "is no good name"),
        ("../acme", "did you mean 'acme'?"),
        ("", "is no good name:"),
        ("é", "is no good name:"),
        ("a" * 41, f"did you mean '{'a' * 40}'?"),
        ("acme-tool", "the kind is added to the name: hotplug new tool acme"),
    ],
)
def test_a_bad_name_is_refused(tmp_path, name, says):
    """
    A name that is no good for a distribution or a module is refused, with a better one where there is one.
    """
    output = run("tool", "--into", tmp_path, "--", name, code=2)

    assert says in " ".join(output.split())
    assert not list(tmp_path.iterdir())


def test_a_name_of_pythons_own_is_refused(tmp_path, monkeypatch):
    """
    A module that would hide one of the standard library is not made.
    """
    monkeypatch.setattr(sys, "stdlib_module_names", frozenset({"acme_tool"}))

    assert "is a name of Python's own" in run("tool", "acme", "--into", tmp_path, code=2)


def test_an_unknown_kind_is_refused():
    """
    A kind that does not exist is refused, with the closest one that does.
    """
    assert "did you mean 'broker'?" in run("brokr", "acme", code=2)


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    """
    Where the folder cannot be made, the error says so, and the exit code is 1.
    """
    (tmp_path / "file").write_text("not a folder")

    assert "cannot be made" in run("tool", "acme", "--into", tmp_path / "file" / "below", code=1)


def test_what_fails_halfway_leaves_nothing(tmp_path, monkeypatch):
    """
    A disk that is full in the middle of it leaves neither the folder nor a part of it.
    """

    def full(self, *arguments, **named):
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "write_text", full)

    assert "cannot be written: the disk is full" in run("tool", "acme", "--into", tmp_path, code=1)
    assert not list(tmp_path.iterdir())


def test_the_patterns_are_in_the_package():
    """
    Each kind has its own pattern, and each file of a pattern is used.
    """
    home = Path(_new.__file__).parent / "_scaffold"
    files = {str(file.relative_to(home)) for file in home.rglob("*.txt")}
    used = {"common/pyproject.toml.txt"}
    for kind, shape in _new.SHAPES.items():
        used |= {f"{kind}/{source}.txt" for source in ("README.md", "src.py", "test.py", *shape.more)}

    assert files == used
