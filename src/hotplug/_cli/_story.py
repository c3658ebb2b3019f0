"""What a journal of orders tells: each order with all that became of it."""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hotplug.brokers._events._files import read_holder
from hotplug.brokers._events._journal import read_journal
from hotplug.market import OrderStatus

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator
    from pathlib import Path

__all__ = ["Journal", "Story", "holder_of", "pid_of", "read"]

PID: Final = re.compile(r"^pid (\d+) on (.*) since ")
TERMINAL: Final = frozenset(status.value for status in OrderStatus if status.terminal)
UNSETTLED: Final = frozenset({OrderStatus.PENDING_NEW, OrderStatus.UNKNOWN})


@dataclass
class Story:
    """One order: how it stands by the last line that tells of it, and every line before."""

    order: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    trades: set[Any] = field(default_factory=set[Any])
    is_unknown: bool = False

    @property
    def is_open(self) -> bool:
        """It has not ended, as far as the journal knows."""
        return self.order.get("status") not in TERMINAL

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {**self.order, "unknown": self.is_unknown, "events": self.events}


@dataclass
class Journal:
    """One broker's journal, read without its host. *holder* is who writes it now, if anybody does."""

    key: str
    stories: tuple[Story, ...]
    notices: tuple[dict[str, Any], ...]
    status: str
    since: str
    holder: str | None


def read(key: str, path: Path, *, past: bool = False) -> Journal:
    """
    What the journal at *path* tells; with *past* also what was put aside when it had grown too large.

    `OSError` where it cannot be read.
    """
    stories: dict[tuple[Any, Any], Story] = {}
    notices: list[dict[str, Any]] = []
    status, since = "", ""
    for line in _told_once([*(put_aside(path) if past else ()), path]):
        payload: Any = line.get("payload")
        match line.get("event"):
            case "Order":
                _told(stories, line, payload)
            case "Fill":
                _filled(stories, line, payload)
            case "StatusChange":
                status, since = str(payload.get("new", "")), str(line.get("time", ""))
            case "open" | "Position" | "Balance":
                pass
            case _:
                notices.append(line)
    holder = holder_of(path)
    for story in stories.values():
        status_now = story.order.get("status")
        # Who ends between the intent and the answer leaves it to the next start to find out.
        story.is_unknown = status_now == OrderStatus.UNKNOWN or (
            holder is None and status_now in UNSETTLED and story.order.get("origin") != "EXTERNAL"
        )
    return Journal(key, tuple(stories.values()), tuple(notices), status, since, holder)


def put_aside(path: Path) -> list[Path]:
    """What the journal at *path* was before it was begun anew, oldest first."""
    aside = re.compile(rf"{re.escape(path.stem)}\.\d{{8}}T\d{{6}}\.\d{{6}}Z{re.escape(path.suffix)}")
    return sorted(each for each in path.parent.iterdir() if aside.fullmatch(each.name))


def _told_once(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The lines of all of *paths*; one that stands in several of them, as after a crash, once."""
    told: set[Hashable] = set()
    for path in paths:
        epoch: Any = None
        for line in read_journal(path):
            if line.get("event") == "open":
                epoch = line.get("epoch")
            number = line.get("seq")
            name = (epoch, number, line.get("event") == "open") if number is not None else json.dumps(line)
            if name not in told:
                told.add(name)
                yield line


def _told(stories: dict[tuple[Any, Any], Story], line: dict[str, Any], order: dict[str, Any]) -> None:
    name = order.get("client_order_id") or order.get("order_id")
    story = stories.setdefault((order.get("account"), name), Story(order))
    if _is_carried(line) and story.events:
        return  # what it was carried over from is told already
    story.order = order
    event = {
        "time": line.get("time"),
        "event": line.get("note") or "order",
        "status": order.get("status"),
        "filled_qty": order.get("filled_qty"),
    }
    if order.get("reason"):
        event["reason"] = order["reason"]
    story.events.append(event)


def _filled(stories: dict[tuple[Any, Any], Story], line: dict[str, Any], fill: dict[str, Any]) -> None:
    story = stories.get((fill.get("account"), fill.get("client_order_id")))
    if story is None:
        found = (each for each in stories.values() if each.order.get("order_id") == fill.get("order_id"))
        story = next(found, None) if fill.get("order_id") else None
    if story is None or (_is_carried(line) and fill.get("trade_id") in story.trades):
        return
    story.trades.add(fill.get("trade_id"))
    names = ("trade_id", "qty", "price", "fee", "fee_currency", "late")
    story.events.append(
        {"time": line.get("time"), "event": "fill", **{name: fill.get(name) for name in names}}
    )


def _is_carried(line: dict[str, Any]) -> bool:
    return line.get("note") == "carried"


# -- who writes it -----------------------------------------------------------------------------------


def holder_of(path: Path) -> str | None:
    """Who writes the journal at *path*, as it said itself; None where nobody does (any more)."""
    note = path.with_name(f"{path.name}.lock")
    if not note.exists():
        return None
    who = read_holder(note)
    pid = pid_of([who])
    return None if pid and not _is_alive(*pid) else who


def pid_of(holders: Iterable[str | None]) -> list[int]:
    """The processes of this machine among *holders*."""
    found = (PID.match(holder) for holder in holders if holder is not None)
    return [int(match[1]) for match in found if match is not None and match[2] == socket.gethostname()]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
