"""The SQLite file that a venue's state survives in. All calls block; one thread makes them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from hotplug.errors import BrokerUnavailable
from hotplug_broker_paper._venue_rows import COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from hotplug_broker_paper._venue_rows import Tables

__all__ = ["StateFile", "broken"]

MARK: Final = 0x50_41_50_52  # "PAPR"
LAYOUT: Final = 1
KEYS: Final = {
    "accounts": ("name",),
    "holdings": ("account", "symbol"),
    "seen": ("account", "symbol"),
    "orders": ("order_id",),
    "fills": ("account", "trade_id"),
}
NAPS_KEPT: Final = 100


class StateFile:
    """
    The state of one venue in the file *path*, held exclusively until `close`.

    Opening raises `BrokerUnavailable`, which names the file, for one that is held by another process, is no
    such file, is damaged, or was written by a newer version.
    """

    def __init__(self, path: Path, currency: str, now: datetime) -> None:
        self.path: Final = path
        try:
            path.touch(mode=0o600, exist_ok=True)
            self._db: Final = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise broken(path, f"cannot be opened: {error}") from error
        try:
            self._hold()
            self._check(currency)
            self._wake_up(now)
        except BaseException as error:
            self._db.close()
            if not isinstance(error, sqlite3.Error):
                raise
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise broken(path, "is in use, by another process or another broker of this one") from error
            raise broken(path, f"is damaged: {error}") from error

    def read(self, history: int) -> tuple[Tables, int, list[tuple[datetime, datetime]]]:
        """Its rows, *history* of what ended at most; the last place in the queue; when nobody was at home."""
        tables = {name: self._rows(name) for name in ("accounts", "holdings", "seen")}
        still = self._rows("orders", "WHERE status IN ('NEW', 'PARTIALLY_FILLED')")
        ended = self._last("orders", "WHERE status NOT IN ('NEW', 'PARTIALLY_FILLED')", history)
        tables["orders"], tables["fills"] = still + ended, self._last("fills", "", history)
        naps = [(_moment(start), _moment(end)) for start, end in self._ask("SELECT slept, woke FROM naps")]
        return tables, int(self._facts()["seq"]), naps

    def write(self, tables: Tables, seq: int, now: datetime) -> None:
        """Commit *tables*; on the disk when this returns."""
        with self._transaction():
            for name, rows in tables.items():
                if rows:
                    marks = ", ".join("?" * len(COLUMNS[name].split()))
                    self._db.executemany(f"INSERT OR REPLACE INTO {name} VALUES ({marks})", rows)  # noqa: S608
            self._note(seq=str(seq), saved_at=now.isoformat())

    def close(self) -> None:
        """Let go of it."""
        self._db.close()

    # -- opening -----------------------------------------------------------------------------------

    def _hold(self) -> None:
        """Lock it; nothing is written to what is not ours."""
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        is_new = not self._ask("SELECT 1 FROM sqlite_master")
        if not is_new and self._ask("PRAGMA application_id") != [(MARK,)]:
            raise broken(self.path, "is a database, but no paper broker's")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():  # the first one takes the lock
            if is_new:
                self._make()

    def _check(self, currency: str) -> None:
        [(layout,)] = self._ask("PRAGMA user_version")
        if layout != LAYOUT:
            raise broken(self.path, f"has layout {layout}, this version knows {LAYOUT}")
        [found, *_] = self._ask("PRAGMA quick_check")
        if found != ("ok",):
            raise broken(self.path, f"is damaged: {found[0]}")
        if (booked := self._facts().get("currency", currency)) != currency:
            raise broken(self.path, f"holds accounts in {booked}, the settings say {currency}")
        self._note(currency=currency)

    def _make(self) -> None:
        for name, columns in COLUMNS.items():
            key = ", ".join(KEYS[name])
            self._db.execute(f"CREATE TABLE {name} ({', '.join(columns.split())}, PRIMARY KEY ({key}))")
        self._db.execute("CREATE TABLE facts (name PRIMARY KEY, value)")
        self._db.execute("CREATE TABLE naps (slept, woke)")
        self._db.execute(f"PRAGMA application_id = {MARK}")
        self._db.execute(f"PRAGMA user_version = {LAYOUT}")
        self._note(seq="0")

    def _wake_up(self, now: datetime) -> None:
        """Remember since when nobody was at home, until *now*."""
        saved_at = self._facts().get("saved_at")
        with self._transaction():
            if saved_at is not None:
                self._db.execute("INSERT INTO naps VALUES (?, ?)", (saved_at, now.isoformat()))
            self._db.execute(
                f"DELETE FROM naps WHERE rowid <= (SELECT max(rowid) FROM naps) - {NAPS_KEPT}"  # noqa: S608
            )
            self._note(saved_at=now.isoformat())

    # -- asking ------------------------------------------------------------------------------------

    def _rows(self, table: str, where: str = "") -> list[tuple[Any, ...]]:
        return self._ask(f"SELECT * FROM {table} {where} ORDER BY rowid")  # noqa: S608

    def _last(self, table: str, where: str, count: int) -> list[tuple[Any, ...]]:
        # A row that is written again gets a new rowid: so they are in the order in which they ended.
        newest = self._ask(f"SELECT * FROM {table} {where} ORDER BY rowid DESC LIMIT {int(count)}")  # noqa: S608
        return newest[::-1]

    def _facts(self) -> dict[str, str]:
        return dict(self._ask("SELECT name, value FROM facts"))

    def _note(self, **facts: str) -> None:
        self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def _ask(self, question: str) -> list[tuple[Any, ...]]:
        with closing(self._db.execute(question)) as answer:
            return answer.fetchall()

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    """All of it, or nothing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db: Final = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._db.execute("COMMIT")
        elif self._db.in_transaction:
            self._db.execute("ROLLBACK")


def broken(path: Path, why: str) -> BrokerUnavailable:
    """The error that says what is wrong with a file of state."""
    text = f"the paper broker's file {os.fspath(path)} {why}"
    return BrokerUnavailable(text, code="file", outcome="NOT_SENT")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
