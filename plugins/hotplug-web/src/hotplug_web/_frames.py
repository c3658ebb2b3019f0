"""What goes over the wire: an event's frame is made once, however many read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug.events._words import Stored

__all__ = ["Frames", "GAP", "PING", "encoded", "frame", "wired"]

GAP: Final = "GAP"
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


def encoded(facts: object) -> bytes:
    """
    *facts* as JSON.

    File names and what plugins say may hold half characters (lone surrogates), which UTF-8 does not have:
    these are written as JSON's escapes, so that they harm nothing else that is told.
    """
    try:
        return _encode(facts)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(facts, enc_hook=str), ensure_ascii=False)
        return text.encode("utf-8", "backslashreplace")


def frame(type_: str, **facts: Any) -> str:
    """One of this adapter's own messages."""
    return encoded({"type": type_, **facts}).decode()


PING: Final = frame("ping")


def wired(text: str) -> bytes:
    """*text* as a server sends it by WebSocket: the same bytes for every client (RFC 6455, 5.2)."""
    data = text.encode()
    size = len(data)
    if size < 126:
        return bytes((0x81, size)) + data
    if size < 2**16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + data
    return b"\x81\x7f" + size.to_bytes(8, "big") + data


class Frames:
    """
    Events as text, by user and place in the user's events; the newest *most_bytes* of them are kept.

    An event's frame has a ``cursor``; no other message has. To be used on one event loop.
    """

    def __init__(self, *, most_bytes: int = 8 * 2**20) -> None:
        self._most: Final = most_bytes
        self._size = 0
        self._made: Final[dict[tuple[str, str, int], str]] = {}

    def of(self, user: str, epoch: str, stored: Stored) -> str:
        """The frame of what is *stored* for *user*."""
        if stored[1] == GAP:  # what one reader missed is no matter of the others
            return _frame_of(user, epoch, stored)
        place = user, epoch, stored[0]
        made = self._made.get(place)
        if made is None:
            made = self._made[place] = _frame_of(user, epoch, stored)
            self._size += len(made)
            while self._size > self._most:
                self._size -= len(self._made.pop(next(iter(self._made))))
        return made


def _frame_of(user: str, epoch: str, stored: Stored) -> str:
    seq, type_, payload, thread, run, seconds = stored
    head: Mapping[str, Any] = {
        "type": type_,
        "cursor": f"{epoch}:{seq}",
        "user_id": user,
        "thread_id": thread,
        "run_id": run,
        "time": datetime.fromtimestamp(seconds, UTC),
    }
    # The payload is JSON already: it is neither read nor written again.
    return (encoded(head)[:-1] + b',"payload":' + payload + b"}").decode()
