"""The books of a registry: one for each broker key, and what the configuration says of each."""

# What books do to gateways is the template's own business.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast
from weakref import ref

from hotplug._lifecycle import name_and_text
from hotplug.brokers._events._journal import FileJournal
from hotplug.brokers._hosting._halts import HaltFile, Halts
from hotplug.brokers._hosting._news import StatusNews
from hotplug.brokers._hosting._stranger import Stranger
from hotplug.brokers._hosting._view import view_of
from hotplug.brokers._orders._book import Book
from hotplug.brokers._settings import BookSettings, Seat
from hotplug.brokers._template._gateway import BrokerGateway
from hotplug.context import UserExecutionContext
from hotplug.errors import HostError, InvalidContextError, PermissionDenied
from hotplug.market import Attribution, Environment, GatewayStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hotplug._lifecycle import HomeLoop
    from hotplug.brokers._contract import IBrokerGateway
    from hotplug.brokers._events._journal import Journal
    from hotplug.brokers._hosting._view import Desk, GatewayView

__all__ = ["AT_REST", "Books"]

_log = logging.getLogger("hotplug.brokers")

AT_REST: Final = frozenset({GatewayStatus.CREATED, GatewayStatus.DISCONNECTED, GatewayStatus.FAILED})
"""Where a gateway is that has no session: another one may take its gate."""
KEPT_IN_A_FILE: Final = frozenset({Environment.LIVE, Environment.SANDBOX})
UNSET: Final = BookSettings()


class Books:
    """
    The books of one registry, made when a gateway first needs one; they outlive gateways and generations.

    By themselves they are in memory, and a gateway lives on the loop of its first connect. `settle` gives
    them a folder and a home. Thread-safe.
    """

    def __init__(self) -> None:
        self.halts: Final = Halts()
        self.news: Final = StatusNews()
        self.home: HomeLoop | None = None
        self.folder: Path | None = None
        self._file_name: Callable[[str], str] = str
        self._guard: Final = threading.RLock()
        self._books: dict[str, Book] = {}
        self._settings: dict[str, BookSettings] = {}
        self._attached: list[ref[BrokerGateway]] = []

    def settle(self, folder: Path, file_name: Callable[[str], str], home: HomeLoop) -> None:
        """Live at *home*, and keep files in *folder*, under names that *file_name* makes of keys."""
        self.home, self.folder, self._file_name = home, folder, file_name
        self.halts.keep_in(HaltFile(folder / "halts.json"))

    # -- settings ----------------------------------------------------------------------------------

    def settings(self, key: str) -> BookSettings:
        """What the configuration says of *key*."""
        return self._settings.get(key, UNSET)

    def tell(self, key: str, settings: BookSettings) -> None:
        """From now on *settings* hold for *key*, for the book that there is as well."""
        with self._guard:
            old = self.settings(key)
            self._settings[key] = settings
            book = self._books.get(key)
            if book is not None:
                book.settings = settings
        if book is not None and (old.journal, old.fsync) != (settings.journal, settings.fsync):
            _log.warning("brokers/%s: its journal is open; restart to follow 'journal' and 'fsync'", key)

    # -- books -------------------------------------------------------------------------------------

    def book(self, key: str) -> Book | None:
        """The book of *key*, if a gateway has ever needed it."""
        return self._books.get(key)

    def all(self) -> Mapping[str, Book]:
        """Every book, by key."""
        return self._books.copy()

    def attach(self, key: str, gateway: object) -> None:
        """
        Have *gateway* work on the book of *key*; what is not built on the template needs none.

        Its gate is shut as long as another gateway of that book has a session. Raises `OSError` where the
        journal cannot be opened, `HostError` where it was connected with a book of its own before.
        """
        if not isinstance(gateway, BrokerGateway):
            return
        if is_at_rest(gateway):
            home = self.home.loop if self.home is not None else None
            gateway.attach(self._open(key, gateway), home)
        else:
            self._take_over(key, gateway)
        gateway._core.on_status = lambda change: self.news.tell(key, change)
        self._attached = [*(ref(each) for each in self.attached() if each is not gateway), ref(gateway)]

    def attached(self) -> tuple[BrokerGateway, ...]:
        """Every gateway that works on a book, as far as somebody still has it."""
        return tuple(gateway for each in self._attached if (gateway := each()) is not None)

    def release(self, key: str, gateway: object) -> None:
        """*gateway* does not stand under *key* after all: its gate is another's."""
        book = self._books.get(key)
        if book is not None and book.owner is gateway:
            # Nothing of a gateway that is gone is kept alive by what outlives it.
            book.owner, book.quotes.on_symbols_changed, book.time_of = None, None, _now

    def promote(self, gateway: object) -> None:
        """Let *gateway* have the gate, if nobody with a session has it."""
        if isinstance(gateway, BrokerGateway):
            gateway._core.take_free_gate()

    def _open(self, key: str, gateway: BrokerGateway) -> Book:
        with self._guard:
            book = self._books.get(key)
            if book is None:
                settings = self.settings(key)
                book = Book(key, settings, self._journal(key, settings, gateway.environment))
                book.halts = self.halts
                self._books[key] = book
        return book

    def _take_over(self, key: str, gateway: BrokerGateway) -> None:
        """Keep the book that a gateway made for itself when it was connected before it was registered."""
        with self._guard:
            book = self._books.get(key)
            if book is not None and book is gateway.book:
                return
            if book is None and not self._wants_journal(self.settings(key), gateway.environment):
                book = self._books[key] = gateway.book
                book.halts, book.settings = self.halts, self.settings(key)
                return
        raise HostError(
            f"the gateway for brokers/{key} is {gateway.status}: register it before it is connected, "
            "so that its orders go into the book of that key"
        )

    def _wants_journal(self, settings: BookSettings, environment: Environment) -> bool:
        wanted = environment in KEPT_IN_A_FILE if settings.journal is None else settings.journal
        return wanted and self.folder is not None

    def _journal(self, key: str, settings: BookSettings, environment: Environment) -> Journal | None:
        if self.folder is None or not self._wants_journal(settings, environment):
            return None
        journal = FileJournal(self.folder / f"{self._file_name(key)}.jsonl", settings.fsync)
        if journal.holder is not None:
            _log.error("brokers/%s is read-only here: its journal is held by %s", key, journal.holder)
        return journal

    def close(self) -> None:
        """End all streams, and let go of the journals; gateways are disconnected by now."""
        for book in self.all().values():
            book.log.close()

    # -- views -------------------------------------------------------------------------------------

    def desk(self, key: str, gateway: IBrokerGateway) -> Desk:
        """Whose verbs take the seat that they are for."""
        return gateway if isinstance(gateway, BrokerGateway) else Stranger(gateway, key, self.halts)

    def view(
        self, key: str, gateway: IBrokerGateway, context: UserExecutionContext, generation: int
    ) -> GatewayView:
        """*gateway* as the context's user may use it; `PermissionDenied` where no account is granted."""
        if not isinstance(context, UserExecutionContext):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidContextError(f"a view is for a UserExecutionContext, not {type(context).__name__}")
        if isinstance(gateway, BrokerGateway):
            generation = gateway.generation
        strategy = context.metadata.get("strategy")
        whose = Attribution(
            user=context.user_id,
            strategy=strategy if isinstance(strategy, str) else None,
            run=context.run_id,
            request=context.request_id,
            generation=generation,
        )
        known: tuple[BookSettings, Seat] | None = None

        def seat() -> Seat:
            # The settings are replaced as a whole: as long as these are the same, so is the seat.
            nonlocal known
            settings = self.settings(key)
            if known is None or known[0] is not settings:
                known = settings, _seat(key, gateway, settings, whose)
            return known[1]

        return view_of(gateway, seat, key=key, desk=self.desk(key, gateway))


def _seat(key: str, gateway: IBrokerGateway, settings: BookSettings, whose: Attribution) -> Seat:
    user = cast("str", whose.user)
    accounts = frozenset(settings.accounts.get(user, ()))
    if not accounts:
        granted = {account for others in settings.accounts.values() for account in others}
        # What was granted to somebody is nobody's for being called so.
        accounts = _own_account(key, gateway, user) - granted
    if not accounts:
        raise PermissionDenied(
            f"broker {key!r}: no account is granted to user {user!r} "
            f"(grant one in the configuration: [brokers.{key}.accounts])",
            code="no_account",
        )
    only = next(iter(accounts)) if len(accounts) == 1 else None
    return Seat(accounts, replace(whose, account=only))


def _own_account(key: str, gateway: IBrokerGateway, user: str) -> frozenset[str]:
    """The account that a gateway has for *user* without any grant, as paper does."""
    account_for = getattr(gateway, "_account_for", None)
    if account_for is None:
        return frozenset()
    try:
        account = account_for(user)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - border to plugin code
        _log.warning("brokers/%s: looking for the account of %r raised %s", key, user, name_and_text(error))
        return frozenset()
    return frozenset({account}) if isinstance(account, str) and account else frozenset()


def _now(_account: str) -> datetime:
    return datetime.now(UTC)


def is_at_rest(owner: object) -> bool:
    """Whether no session of *owner* is open."""
    return not isinstance(owner, BrokerGateway) or owner.status in AT_REST
