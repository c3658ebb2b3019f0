"""``new``: a distribution to begin with, which works and passes its suite as it is."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hotplug._cli._screen import Screen, write_json
from hotplug._records import VERSION
from hotplug.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["new"]

NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST: Final = 40


@dataclass(frozen=True, slots=True)
class Shape:
    """What a scaffold of one kind looks like: *target* is what its entry point names, in terms of "acme"."""

    kind: str
    target: str
    more: Mapping[str, str]
    needs: tuple[str, ...] = ()


VENUE: Final = {"venue.py": "tests/acme_venue.py"}
SHAPES: Final = {
    "broker": Shape("brokers", "AcmeBroker", VENUE),
    "agent": Shape("agents", "AcmeAgent", {}),
    "tool": Shape("tools", "acme_tool", {}),
    "strategy": Shape("strategies", "AcmeStrategy", {}, ("hotplug-broker-paper",)),
    "service": Shape("services", "AcmeService", {}),
}


def _a_kind(_context: click.Context, _argument: click.Parameter, value: str) -> str:
    for word, shape in SHAPES.items():
        if value in {word, shape.kind}:
            return word
    raise click.BadParameter(f"no such kind: {value!r} ({close_match(value, list(SHAPES))})")


@click.command()
@click.argument("kind", metavar="KIND", callback=_a_kind)
@click.argument("name", metavar="NAME")
@click.option(
    "--into",
    metavar="DIR",
    default=".",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its folder is made; else here.",
)
@click.option("--json", "as_json", is_flag=True, help="An object, for programs.")
def new(kind: str, name: str, into: Path, as_json: bool) -> None:
    """
    Make a distribution with a plugin of KIND called NAME, in a folder of its own.

    KIND is broker, agent, tool, strategy or service. What is made works, and passes its suite.
    """
    _refuse_unless_good(name, kind)
    folder = into / f"{name}-{kind}"
    if folder.exists() or folder.is_symlink():
        raise click.UsageError(f"{folder} exists already: nothing was written")
    contents = _contents(kind, name)
    _write(folder, contents)
    if as_json:
        write_json(
            {
                "folder": str(folder),
                "files": sorted(contents),
                "distribution": folder.name,
                "plugin": f"{SHAPES[kind].kind}/{name}",
            }
        )
        return
    _tell(kind, name, folder, contents)


def _refuse_unless_good(name: str, kind: str) -> None:
    if name.endswith(f"-{kind}"):
        short = name.removesuffix(f"-{kind}")
        raise click.BadParameter(f"the kind is added to the name: hotplug new {kind} {short}")
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        better = "-".join(re.findall(r"[a-z0-9]+", name.lower())).lstrip("0123456789-")[:LONGEST].rstrip("-")
        hint = f" (did you mean {better!r}?)" if better else ""
        rule = f"at most {LONGEST} small letters and digits in words joined by '-', a letter first"
        raise click.BadParameter(f"{name!r} is no good name{hint}: {rule}")
    module = f"{name.replace('-', '_')}_{kind}"
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise click.BadParameter(f"{module} is a name of Python's own")


def _contents(kind: str, name: str) -> dict[str, str]:
    """Paths in the new folder, and the text of each file."""
    shape = SHAPES[kind]
    sources = {
        "../common/pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "src.py": "src/acme_thing/__init__.py",
        "test.py": "tests/test_acme_thing.py",
        **shape.more,
    }
    contents = {
        _named(path, kind, name): _named(_text(kind, source), kind, name) for source, path in sources.items()
    }
    contents[_named("src/acme_thing/py.typed", kind, name)] = ""
    return contents


def _text(kind: str, source: str) -> str:
    home = files("hotplug").joinpath("_cli", "_scaffold")
    folder, _, file = source.rpartition("/")
    return home.joinpath("common" if folder else kind, f"{file}.txt").read_text(encoding="utf-8")


def _named(text: str, kind: str, name: str) -> str:
    """*text*, which is about a thing called acme, about the real one."""
    shape = SHAPES[kind]
    major, minor, *_ = VERSION.split(".")
    module = name.replace("-", "_")
    words = {
        "GROUP": f"hotplug.{shape.kind}",
        "TARGET": _named(shape.target, kind, name) if "TARGET" in text else "",
        "RANGE": f">={major}.{minor},<{major}.{int(minor) + 1}",
        '"TESTS"': ", ".join(f'"{each}"' for each in ("pytest>=8", *shape.needs)),
        "acme_thing": f"{module}_{kind}",
        "acme-thing": f"{name}-{kind}",
        "acme_": f"{module}_",
        "Acme": "".join(part.capitalize() for part in name.split("-")),
        "acme": name,
    }
    # In one go: what a word became may look like another word.
    return re.sub("|".join(words), lambda found: words[found[0]], text)


def _write(folder: Path, contents: Mapping[str, str]) -> None:
    """All of it, or nothing."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be made: {error}") from error
    try:
        for path, text in contents.items():
            file = beside / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        beside.chmod(0o755)  # a temporary folder is nobody else's
        beside.rename(folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise click.ClickException(f"{folder} cannot be written: {error}") from error


def _tell(kind: str, name: str, folder: Path, contents: Mapping[str, str]) -> None:
    screen = Screen()
    screen.line(f"{folder} is {SHAPES[kind].kind}/{name}:")
    for path in sorted(contents):
        screen.line(path, indent=4)
    needs = " ".join(("-e", ".", "pytest", *SHAPES[kind].needs))
    screen.line()
    screen.line(f"It works. See for yourself:   cd {folder} && pip install {needs} && pytest")
