"""``broker list``, ``health`` and ``orders``: what brokers are at, asked of files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from hotplug._cli._listing import counted
from hotplug._cli._scene import Scene, scene_options
from hotplug._cli._screen import Screen, safe, write_json
from hotplug._cli._story import Journal, Story, holder_of, read
from hotplug._host._data import file_name, orders_folder
from hotplug.brokers._hosting._halts import Halt, HaltFile
from hotplug.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from hotplug._records import PluginStatus

__all__ = ["Place", "health", "list_", "orders", "plain"]

HEADS: Final = ("BROKER", "PLUGIN", "CONNECTION", "OPEN", "UNKNOWN", "HALTED", "HOST")


class Place:
    """Where the orders of a scene are kept."""

    def __init__(self, scene: Scene) -> None:
        self.scene: Final = scene
        self.config: Final = scene.config()
        self.folder: Final = orders_folder(self.config)
        self.halts: Final = HaltFile(self.folder / "halts.json")

    def statuses(self) -> list[PluginStatus]:
        """The brokers that are installed or named."""
        found = self.scene.survey(self.config).statuses
        return [status for status in found if status.record.kind == "brokers"]

    def journal(self, key: str) -> Path:
        """Where the orders of a broker are kept, if they are."""
        return self.folder / f"{file_name(key)}.jsonl"

    def holders(self) -> list[str]:
        """Who writes a journal here now."""
        found = (holder_of(path) for path in sorted(self.folder.glob("*.jsonl")))
        return [holder for holder in found if holder is not None]

    def known(self) -> list[str]:
        """Every key that is configured or installed, or has a journal."""
        keys = [status.key for status in self.statuses()]
        stems = [path.name.removesuffix(".jsonl") for path in sorted(self.folder.glob("*.jsonl"))]
        named = {file_name(key) for key in keys}
        return [*dict.fromkeys(keys), *(stem for stem in stems if stem not in named and "." not in stem)]

    def checked(self, key: str | None, context: click.Context) -> str | None:
        """*key*, if there is such a broker."""
        if key is not None and key not in (known := self.known()):
            raise click.UsageError(f"no broker {key!r} ({close_match(key, known)})", context)
        return key

    def in_force(self) -> list[Halt]:
        """What is halted."""
        halts, _, _ = self.halts.read()
        return sorted(halts.values(), key=lambda halt: halt.since)

    def read(self, key: str, *, past: bool = False) -> Journal | None:
        """What the journal of *key* tells, with *past* also what was put aside of it; None without one."""
        try:
            return read(key, self.journal(key), past=past)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise click.ClickException(safe(f"the journal of {key} cannot be read: {error}")) from error


def _facts(place: Place) -> list[dict[str, Any]]:
    halts = place.in_force()
    return [_fact(place, key, halts) for key in place.known()]


def _fact(place: Place, key: str, halts: Sequence[Halt]) -> dict[str, Any]:
    journal = place.read(key)
    status = next((each for each in place.statuses() if each.key == key), None)
    entry = place.config.entries.get(("brokers", key))
    stories = () if journal is None else journal.stories
    return {
        "key": key,
        "plugin": "" if status is None else status.record.name,
        "distribution": "" if status is None else status.record.distribution,
        "connect": entry is not None and entry.connect,
        "journal": None if journal is None else str(place.journal(key)),
        "status": None if journal is None else journal.status,
        "since": None if journal is None else journal.since,
        "held_by": None if journal is None else journal.holder,
        "open_orders": sum(story.is_open for story in stories),
        "unknown_orders": sum(story.is_unknown for story in stories),
        "halted": [plain(halt) for halt in halts if halt.key in {None, key}],
    }


def plain(halt: Halt) -> dict[str, Any]:
    return {
        "reason": halt.reason,
        "key": halt.key,
        "user": halt.user,
        "since": halt.since.isoformat(),
        "by": halt.by,
    }


def _show(facts: Iterable[dict[str, Any]], screen: Screen) -> None:
    rows = [
        (
            fact["key"],
            fact["plugin"],
            _connection(fact),
            str(fact["open_orders"]),
            str(fact["unknown_orders"]),
            "; ".join(halt["reason"] for halt in fact["halted"]),
            fact["held_by"] or "",
        )
        for fact in facts
    ]
    if rows:
        screen.table(HEADS, rows)
    else:
        screen.line("there are no brokers here")


def _connection(fact: dict[str, Any]) -> str:
    if fact["journal"] is None:
        return "in memory: its host knows"
    return fact["status"] if fact["held_by"] else "no host"


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="An array of objects, for programs.")
@scene_options
@click.pass_obj
def list_(scene: Scene, as_json: bool) -> None:
    """List the brokers: what they are, their open orders, who is halted."""
    facts = _facts(Place(scene))
    if as_json:
        write_json(facts)
    else:
        _show(facts, Screen())


@click.command()
@click.argument("key", required=False)
@click.option("--json", "as_json", is_flag=True, help="An array of objects, for programs.")
@scene_options
@click.pass_context
def health(context: click.Context, key: str | None, as_json: bool) -> None:
    """
    Say what is wrong with the brokers (or KEY), as far as files tell. Exit code 1: something is.

    Wrong is: a connection that is not READY in a host that runs, an order of unknown outcome, a halt.
    """
    place = Place(context.obj)
    place.checked(key, context)
    facts = [fact for fact in _facts(place) if key in {None, fact["key"]}]
    issues = {fact["key"]: _issues(fact) for fact in facts}
    if as_json:
        write_json([{**fact, "issues": issues[fact["key"]]} for fact in facts])
    else:
        _show_issues(issues, Screen())
    if any(issues.values()):
        context.exit(1)


def _issues(fact: dict[str, Any]) -> list[str]:
    issues = [f"halted: {halt['reason']}" for halt in fact["halted"]]
    if fact["held_by"] and fact["status"] != "READY":
        issues.append(f"{fact['status'] or 'never connected'} since {fact['since'] or 'the start'}")
    if fact["unknown_orders"]:
        issues.append(f"{counted(fact['unknown_orders'], 'order')} of unknown outcome")
    return issues


def _show_issues(issues: dict[str, list[str]], screen: Screen) -> None:
    for key, found in issues.items():
        for issue in found:
            screen.line(f"{key}: {issue}")
    if not any(issues.values()):
        screen.line("nothing is wrong, as far as files tell")


# -- orders ------------------------------------------------------------------------------------------


@click.command()
@click.argument("key")
@click.option("--open", "only_open", is_flag=True, help="Only orders that have not ended.")
@click.option("--user", metavar="USER", help="Only orders placed for USER.")
@click.option("--json", "as_json", is_flag=True, help="An array of objects, for programs.")
@scene_options
@click.pass_context
def orders(context: click.Context, key: str, only_open: bool, user: str | None, as_json: bool) -> None:
    """
    Tell the story of each order of the broker KEY, from its journal and what was put aside of it.

    No host is needed.

    Exit code 1: the outcome of some of them is unknown.
    """
    place = Place(context.obj)
    place.checked(key, context)
    journal = place.read(key, past=True)
    if journal is None:
        why = f"{key} has no journal in {place.folder}: orders of paper and mock brokers are kept in memory"
        raise click.ClickException(safe(f"{why} (journal = true changes that)"))
    stories = [
        story
        for story in journal.stories
        if (story.is_open or not only_open) and (user is None or _user_of(story) == user)
    ]
    if as_json:
        write_json([story.as_dict() for story in stories])
    else:
        _show_stories(stories, journal, Screen())
    if any(story.is_unknown for story in stories):
        context.exit(1)


def _user_of(story: Story) -> str | None:
    attribution: dict[str, str | None] = story.order.get("attribution") or {}
    return attribution.get("user")


def _show_stories(stories: Sequence[Story], journal: Journal, screen: Screen) -> None:
    for story in stories:
        _show_story(story, screen)
    for notice in journal.notices:
        user = f" (user {notice['user']})" if notice.get("user") else ""
        screen.line(f"{notice.get('time')}  {notice.get('event')}{user}: {notice.get('reason', '')}")
    if stories or journal.notices:
        screen.line()
    unknown = sum(story.is_unknown for story in stories)
    counts = f"{counted(len(stories), 'order')}, {sum(story.is_open for story in stories)} open"
    screen.line(f"{counts}, {unknown} UNKNOWN" if unknown else counts)


def _show_story(story: Story, screen: Screen) -> None:
    order = story.order
    begun = story.events[0]["time"] if story.events else ""
    price = f" @ {order['price']}" if order.get("price") else ""
    what = f"{order.get('side')} {order.get('qty')} {order.get('symbol')} {order.get('type')}{price}"
    mark = "  !! UNKNOWN: establish what became of it" if story.is_unknown else ""
    name = order.get("client_order_id") or order.get("order_id")
    screen.line(f"{begun}  {name}  {what}  {order.get('status')}{mark}")
    attribution: dict[str, Any] = order.get("attribution") or {}
    facts = {"account": order.get("account"), "venue id": order.get("order_id"), **attribution}
    told = ", ".join(f"{fact} {value}" for fact, value in facts.items() if value)
    screen.line(told, indent=4)
    for event in story.events:
        screen.line(_event(event), indent=4)


def _event(event: dict[str, Any]) -> str:
    if "trade_id" in event:  # the order itself may say that a fill was what changed it
        late = ", late" if event.get("late") else ""
        text = f"fill {event['qty']} @ {event['price']} (trade {event['trade_id']}{late})"
        return f"{event['time']}  {text}"
    reason = f": {event['reason']}" if event.get("reason") else ""
    return f"{event['time']}  {event['event']} -> {event['status']} ({event['filled_qty']} filled){reason}"
