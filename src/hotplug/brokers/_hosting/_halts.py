"""Halts: who may not trade now, kept in a file that outlives every process."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hotplug.brokers._events._files import lock_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

__all__ = ["Halt", "HaltFile", "Halts", "write_private"]

Scope: TypeAlias = tuple[str | None, str | None]
"""Of which broker, and of which user; ``None`` is all of them."""

EVERYWHERE: Final[Scope] = (None, None)
LOCK_LIMIT: Final = 5.0  # seconds that another process may take to change the file
LOCK_PAUSE: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """
    Nobody trades in its scope: at the broker *key* (``None``: any), on behalf of *user* (``None``: anybody).

    *cancel* says that who has open orders shall cancel them, *by* which process it came from.
    """

    reason: str
    key: str | None = None
    user: str | None = None
    cancel: bool = True
    since: datetime
    by: str = ""

    @property
    def scope(self) -> Scope:
        """What it holds for."""
        return self.key, self.user

    @classmethod
    def now(
        cls, reason: str, *, key: str | None = None, user: str | None = None, cancel: bool = True
    ) -> Halt:
        """A new one, by this process. `ValueError` without a reason."""
        if not isinstance(reason, str) or not reason.strip():  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise ValueError("say why: a halt and its end need a reason")
        return cls(
            reason=reason, key=key, user=user, cancel=cancel, since=datetime.now(UTC), by=f"pid {os.getpid()}"
        )

    def __str__(self) -> str:
        where = f"broker {self.key!r}" if self.key is not None else "every broker"
        whom = f", user {self.user!r}" if self.user is not None else ""
        return f"{where}{whom}: {self.reason}"


class Halts:
    """
    What is halted. Answers from memory, at once, in any thread; with a *file*, every change is kept there.

    Other processes change the file too, and `look` follows them; *serial* counts its changes.
    """

    __slots__ = ("_file", "_followed", "_guard", "_in_force", "_stamp", "problem", "serial")

    def __init__(self, file: HaltFile | None = None) -> None:
        self._guard: Final = threading.Lock()
        self._file: HaltFile | None = None
        self._in_force: Mapping[Scope, Halt] = {}
        self._followed: Mapping[Scope, Halt] = {}
        self._stamp: object = None
        self.serial: int = 0
        self.problem: str = ""
        if file is not None:
            self.keep_in(file)

    def reason(self, key: str, user: str | None) -> str | None:
        """Why nobody may trade at *key* on behalf of *user*; None where that is allowed."""
        found = self._in_force
        if not found:
            return None
        for scope in (EVERYWHERE, (key, None), (None, user), (key, user)):
            if (halt := found.get(scope)) is not None:
                return halt.reason
        return None

    def in_force(self) -> tuple[Halt, ...]:
        """Every halt, oldest first."""
        return tuple(sorted(self._in_force.values(), key=lambda halt: halt.since))

    def shut(self, halt: Halt) -> None:
        """
        From now on nobody trades in the scope of *halt*, in any thread.

        It is in force even where the file cannot be written; *problem* tells of that.
        """
        with self._guard:
            self._in_force = {**self._in_force, halt.scope: halt}
            self._followed = {**self._followed, halt.scope: halt}
            self._keep(lambda kept: kept | {halt.scope: halt})

    def lift(self, scopes: Callable[[Scope], bool]) -> None:
        """End the halts whose scope is among *scopes*. `OSError` where that cannot be kept: they stay."""

        def remaining(kept: Mapping[Scope, Halt]) -> dict[Scope, Halt]:
            return {scope: halt for scope, halt in kept.items() if not scopes(scope)}

        with self._guard:
            if self._file is None:
                self._in_force = remaining(self._in_force)
            else:
                self._took(*self._file.change(remaining))
            self._followed = remaining(self._followed)

    # -- the file ----------------------------------------------------------------------------------

    def keep_in(self, file: HaltFile) -> None:
        """Take over what *file* says, and keep everything there from now on."""
        with self._guard:
            self._file = file
            mine = self._in_force
            if mine:
                self._keep(lambda kept: {**kept, **mine})
            else:
                self._took(*file.read())
            self._followed = self._in_force

    def look(self) -> tuple[tuple[Halt, ...], tuple[Halt, ...]]:
        """Follow what other processes did to the file: the halts that are new, those that were lifted."""
        with self._guard:
            if self._file is not None and self._file.stamp() != self._stamp:
                self._took(*self._file.read())
            before, now = self._followed, self._in_force
            if before is now:
                return (), ()
            self._followed = now
        new = tuple(halt for scope, halt in now.items() if before.get(scope) != halt)
        return new, tuple(halt for scope, halt in before.items() if scope not in now)

    def _keep(self, change: Callable[[dict[Scope, Halt]], dict[Scope, Halt]]) -> None:
        if self._file is None:
            return
        try:
            self._took(*self._file.change(change))
        except OSError as error:
            self.problem = f"a halt is in force, but would not survive a restart: {error}"

    def _took(self, halts: Mapping[Scope, Halt], serial: int, stamp: object) -> None:
        self._in_force, self.serial, self._stamp, self.problem = halts, serial, stamp, ""


class HaltFile:
    """
    ``halts.json``: read and changed as a whole, by one process at a time.

    One that cannot be understood halts everything: what it held is not known any more.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def stamp(self) -> object:
        """Differs from any other one if the file was changed in between."""
        try:
            facts = self.path.stat()
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns, facts.st_size

    def read(self) -> tuple[dict[Scope, Halt], int, object]:
        """The halts in it, its serial number, its stamp."""
        stamp = self.stamp()
        if stamp is None:  # it is not there, or nowhere that this process may look
            return {}, 0, None
        try:
            document = json.loads(self.path.read_bytes())
            halts = [_halt_of(entry) for entry in document["halts"]]
            return {halt.scope: halt for halt in halts}, int(document["serial"]), stamp
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            why = f"{self.path} cannot be read ({type(error).__name__}: {error}): all is halted until resumed"
            return {EVERYWHERE: Halt.now(why, cancel=False)}, 0, stamp

    def change(
        self, change: Callable[[dict[Scope, Halt]], dict[Scope, Halt]]
    ) -> tuple[dict[Scope, Halt], int, object]:
        """Read it, let *change* say what it shall hold, and write that; as `read`. Raises `OSError`."""
        with self._alone():
            before, serial, _ = self.read()
            halts = change(before)
            document = {"serial": serial + 1, "halts": [_plain(halt) for halt in halts.values()]}
            write_private(self.path, json.dumps(document, indent=1) + "\n")
            return halts, serial + 1, self.stamp()

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """No other process changes the file meanwhile, where the system can say so."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            patience = time.monotonic() + LOCK_LIMIT
            while not lock_file(lock):
                if time.monotonic() >= patience:
                    raise TimeoutError(f"another process holds {self.path} since {LOCK_LIMIT:g} s")
                time.sleep(LOCK_PAUSE)
            yield
        finally:
            os.close(lock)


_number: Final = itertools.count(1)


def write_private(path: Path, text: str) -> None:
    """Put a file with *text* at *path*, whole or not at all, for nobody else to read. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.{next(_number)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _plain(halt: Halt) -> dict[str, Any]:
    return {
        "reason": halt.reason,
        "key": halt.key,
        "user": halt.user,
        "cancel": halt.cancel,
        "since": halt.since.isoformat(),
        "by": halt.by,
    }


def _halt_of(entry: dict[str, Any]) -> Halt:
    key, user, reason = entry["key"], entry["user"], entry["reason"]
    if not (isinstance(reason, str) and all(each is None or isinstance(each, str) for each in (key, user))):
        raise TypeError(f"no halt: {entry!r}")
    return Halt(
        reason=reason,
        key=key,
        user=user,
        cancel=bool(entry.get("cancel", True)),
        since=datetime.fromisoformat(entry["since"]),
        by=str(entry.get("by", "")),
    )
