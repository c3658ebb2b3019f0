"""``broker halt`` and ``resume``: the emergency brake of running hosts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click

from hotplug._cli._brokers import Place, plain
from hotplug._cli._listing import counted
from hotplug._cli._scene import scene_options
from hotplug._cli._screen import Screen, safe, write_json
from hotplug._cli._story import pid_of
from hotplug.brokers._hosting._acks import Ack, read_acks
from hotplug.brokers._hosting._halts import Halt, Halts

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["halt", "resume"]

LOOK_AGAIN: Final = 0.05  # seconds between two looks at what hosts acknowledged
NO_JOURNAL: Final = 0.6  # seconds in which a host acknowledges of which no journal tells

_scope_options: Final = (
    click.option("--key", metavar="KEY", help="Only at this broker; else at all of them."),
    click.option("--user", metavar="USER", help="Only on behalf of this user."),
    click.option(
        "--wait", metavar="SECONDS", type=click.FloatRange(0), default=10.0, help="How long hosts may take."
    ),
    click.option("--json", "as_json", is_flag=True, help="One object, for programs."),
)


def _scoped(command: Any) -> Any:
    for option in reversed(_scope_options):
        command = option(command)
    return command


@click.command()
@click.argument("reason")
@click.option("--no-cancel", is_flag=True, help="Leave open orders as they are.")
@_scoped
@scene_options
@click.pass_context
def halt(
    context: click.Context,
    reason: str,
    no_cancel: bool,
    key: str | None,
    user: str | None,
    wait: float,
    as_json: bool,
) -> None:
    """
    Let nobody trade any more, in every host that uses the same data folder, because of REASON.

    Running hosts shut their gates within a moment, then cancel their own open orders. It holds through
    restarts until it is resumed. Exit code 1: a host that runs did not say that it obeyed, or an order was
    not cancelled.
    """
    place = Place(context.obj)
    new = _halt(reason, place.checked(key, context), user, cancel=not no_cancel)
    halts = Halts(place.halts)
    halts.shut(new)
    if halts.problem:
        raise click.ClickException(safe(f"this did not reach any host: {halts.problem}"))
    _report(context, place, halts, "halted", wait=wait, as_json=as_json)


@click.command()
@click.argument("reason")
@_scoped
@scene_options
@click.pass_context
def resume(
    context: click.Context, reason: str, key: str | None, user: str | None, wait: float, as_json: bool
) -> None:
    """
    Let trade go on that was halted for everybody (or for USER), at all brokers (or at KEY).

    Exit code 1: a host that runs did not say that it obeyed.
    """
    place = Place(context.obj)
    _halt(reason, place.checked(key, context), user, cancel=False)
    halts = Halts(place.halts)
    try:
        halts.lift(lambda scope: key in {None, scope[0]} and scope[1] == user)
    except OSError as error:
        raise click.ClickException(safe(f"nothing was resumed: {error}")) from error
    _report(context, place, halts, "resumed", wait=wait, as_json=as_json)


def _halt(reason: str, key: str | None, user: str | None, *, cancel: bool) -> Halt:
    try:
        return Halt.now(reason, key=key, user=user, cancel=cancel)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="REASON") from error


def _report(
    context: click.Context, place: Place, halts: Halts, what: str, *, wait: float, as_json: bool
) -> None:
    acks, silent = _obeyed(place, halts.serial, wait)
    failed = [result for ack in acks for result in ack.results if "error" in result]
    if as_json:
        write_json(
            {
                "in_force": [plain(each) for each in halts.in_force()],
                "hosts": [{"pid": a.pid, "done": a.done, "results": list(a.results)} for a in acks],
                "silent": silent,
            }
        )
    else:
        _show_report(what, halts, acks, silent, Screen())
    if silent or failed or not all(ack.done for ack in acks):
        context.exit(1)


def _obeyed(place: Place, serial: int, wait: float) -> tuple[list[Ack], list[int]]:
    """What hosts acknowledged, and the processes that write journals here and acknowledged nothing."""
    expected = set(pid_of(place.holders()))
    begun = time.monotonic()
    while True:
        acks = read_acks(place.folder / "acks", serial)
        silent = sorted(expected - {ack.pid for ack in acks})
        waited = time.monotonic() - begun
        settled = not silent and all(ack.done for ack in acks) and (bool(expected) or waited >= NO_JOURNAL)
        if settled or waited >= wait:
            return acks, silent
        time.sleep(LOOK_AGAIN)


def _show_report(what: str, halts: Halts, acks: Sequence[Ack], silent: Sequence[int], screen: Screen) -> None:
    screen.line(what)
    for ack in acks:
        failed = [result for result in ack.results if "error" in result]
        done = "" if ack.done else ", still at it"
        screen.line(f"host pid {ack.pid} obeys: {counted(len(ack.results), 'order')} seen to{done}", indent=2)
        for result in failed:
            screen.line(f"not cancelled: {result['error']}", indent=4)
    for pid in silent:
        screen.line(f"host pid {pid} has NOT answered: look after it yourself", indent=2)
    if not (acks or silent):
        screen.line("no running host was seen: those that start will find it so", indent=2)
    for each in halts.in_force():
        screen.line(f"in force: {each}", indent=2)
