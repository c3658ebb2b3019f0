"""Who did what when, and what came of it: in a file that outlives the process, and in the log."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Journal"]

_log = logging.getLogger("hotplug.web.actions")


class Journal:
    """
    One JSON object a line: ``asked`` before anything is done, ``done`` after it, under one ``id``.

    Thread-safe, and several processes may write to one file.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._guard: Final = threading.Lock()
        self._is_torn = False

    def asked(self, who: str, address: str, what: str, details: dict[str, Any]) -> str:
        """Somebody asks for something; the id that it goes by. Raises `OSError`."""
        number = uuid4().hex[:12]
        _log.warning("%s by user %r at %s: %s", what, who, address, json.dumps(details))
        self._write(
            {"id": number, "event": "asked", "user": who, "address": address, "action": what, **details}
        )
        return number

    def done(self, number: str, outcome: str, details: dict[str, Any]) -> None:
        """What came of it. Raises `OSError`."""
        _log.warning("%s: %s %s", number, outcome, json.dumps(details, default=str))
        self._write({"id": number, "event": "done", "outcome": outcome, **details})

    def _write(self, facts: dict[str, Any]) -> None:
        line = json.dumps({"at": datetime.now(UTC).isoformat(), **facts}, default=str) + "\n"
        with self._guard:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                data = line.encode()
                if self._is_torn:
                    data = b"\n" + data
                # On a full disk a part of a line may be written: what comes next begins a line of its own.
                self._is_torn = True
                if os.write(file, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                self._is_torn = False
                os.fsync(file)
            finally:
                os.close(file)
