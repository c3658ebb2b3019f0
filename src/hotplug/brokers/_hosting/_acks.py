"""How a running host tells other processes that it did what they asked for."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from hotplug.brokers._hosting._halts import write_private
from hotplug.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hotplug.market import Order

__all__ = ["Ack", "Acks", "read_acks"]

_log = logging.getLogger("hotplug.brokers")


@dataclass(frozen=True, slots=True)
class Ack:
    """What process *pid* did about change *serial* of the halts: gates at once, *results* when *done*."""

    pid: int
    serial: int
    done: bool
    results: tuple[dict[str, Any], ...]


class Acks:
    """The acknowledgements of one host, in a file of its own in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._path: Final = folder / f"{os.getpid()}-{uuid4().hex[:8]}.json"

    def write(self, serial: int, *, done: bool, results: Iterable[Order | BrokerError] = ()) -> None:
        """Tell that the change *serial* is followed; where that cannot be written, it is logged."""
        ack = {
            "pid": os.getpid(),
            "serial": serial,
            "done": done,
            "at": datetime.now(UTC).isoformat(),
            "results": [_plain(result) for result in results],
        }
        try:
            write_private(self._path, json.dumps(ack) + "\n")
        except OSError as error:
            _log.error("it cannot be told that halts are followed: %s", error)

    def remove(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def read_acks(folder: Path, serial: int) -> list[Ack]:
    """What hosts acknowledged of the change *serial*, or of a later one; who did so before it is left out."""
    found: list[Ack] = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            said = json.loads(path.read_bytes())
            ack = Ack(int(said["pid"]), int(said["serial"]), bool(said["done"]), tuple(said["results"]))
            if ack.serial >= serial:
                found.append(ack)
    return found


def _plain(result: Order | BrokerError) -> dict[str, Any]:
    if isinstance(result, BrokerError):
        return {"error": str(result), "code": result.code, "outcome": str(result.outcome)}
    return {
        "client_order_id": result.client_order_id,
        "order_id": result.order_id,
        "account": result.account,
        "symbol": result.symbol,
        "status": str(result.status),
    }
