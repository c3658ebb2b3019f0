"""The command: what it is asked, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

import hotplug
from hotplug.errors import close_match
from hotplug_demo._needs import STRATEGY, Trouble, check_installed
from hotplug_demo._players import MOST_USERS, players

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hotplug.market import Bar
    from hotplug_demo._play import Audience, Performance
    from hotplug_demo._players import Player

__all__ = ["demo"]

INTERRUPTED: Final = 130


@click.command()
@click.option("--symbol", metavar="SYMBOL", default="IBM", show_default=True, help="What is traded.")
@click.option(
    "--strategy", metavar="NAME", default=STRATEGY, show_default=True, help="An installed strategy."
)
@click.option(
    "--users",
    metavar="N",
    type=click.IntRange(1, MOST_USERS),
    default=2,
    show_default=True,
    help=f"How many users work at once, 1 to {MOST_USERS}.",
)
@click.option(
    "--picture",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also draw the first user's run, as a PNG.",
)
@click.option("--json", "as_json", is_flag=True, help="One object, for programs.")
def demo(symbol: str, strategy: str, users: int, picture: Path | None, as_json: bool) -> None:
    """
    See the installed plugins at work on real market data.

    Users ask an agent and run a strategy each, at once, on one paper broker, over years of daily bars.
    Nothing leaves this machine, and it ends by itself.
    """
    try:
        bars = _prepared(symbol, strategy)
        cast = players(users, strategy, bars)
        show = _for_programs if as_json else _for_people
        performance = show(cast, strategy, bars)
        if picture is not None:
            _draw(performance, picture)
    except KeyboardInterrupt:
        click.echo("stopped: the broker is disconnected, everything is closed", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    if not performance.audit.isolated:
        raise Trouble("users were not kept apart: this is a bug of hotplug or of a plugin")


def _draw(performance: Performance, file: Path) -> None:
    """Put a picture of the first user's run into *file*."""
    try:
        file.write_bytes(performance.outcomes[0].report.picture())
    except (ImportError, OSError) as error:
        raise Trouble(f"no picture was drawn: {error}") from error
    click.echo(f"the run of {performance.outcomes[0].player.user} is drawn in {file}", err=True)


def _for_people(cast: Sequence[Player], strategy: str, bars: tuple[Bar, ...]) -> Performance:
    from hotplug_demo._stage import Stage

    stage = Stage(cast, bars)
    with stage:
        performance = _performance(cast, strategy, bars, stage)
    stage.show(performance)
    return performance


def _for_programs(cast: Sequence[Player], strategy: str, bars: tuple[Bar, ...]) -> Performance:
    from hotplug_demo._figures import described
    from hotplug_demo._stage import Nobody

    # Whatever a plugin prints must not get into the answer.
    with contextlib.redirect_stdout(sys.stderr):
        performance = _performance(cast, strategy, bars, Nobody())
    click.echo(json.dumps(described(performance, strategy), indent=1))
    return performance


def _performance(
    cast: Sequence[Player], strategy: str, bars: tuple[Bar, ...], audience: Audience
) -> Performance:
    from hotplug_demo._play import perform

    try:
        return asyncio.run(perform(cast, strategy, bars, audience))
    except hotplug.HotplugError as error:
        raise Trouble(str(error)) from error


def _prepared(symbol: str, strategy: str) -> tuple[Bar, ...]:
    """The bars of *symbol*; `Trouble` for what is not installed, `BadParameter` for what is misspelt."""
    records = hotplug.discover().records
    known = {record.name for record in records if record.kind == "strategies"}
    if strategy not in {*known, STRATEGY}:
        why = f"no strategy {strategy!r} is installed ({close_match(strategy, known)})"
        raise click.BadParameter(why, param_hint="--strategy")
    check_installed(records, strategy)
    found = _market()
    if symbol not in found:
        why = f"there are no bars of {symbol!r} ({close_match(symbol.upper(), found)})"
        raise click.BadParameter(why, param_hint="--symbol")
    return found[symbol]()


def _market() -> dict[str, Callable[[], tuple[Bar, ...]]]:
    """Each symbol, and what gives its bars."""
    try:
        from hotplug_tools_market import bars, symbols

        return {symbol: partial(bars, symbol) for symbol in symbols()}
    except Exception as error:  # the border to plugin code
        raise Trouble(
            f"hotplug-tools-market is installed, but does not work ({type(error).__name__}: {error})\n"
            "install it again: pip install --force-reinstall hotplug-tools-market"
        ) from error
