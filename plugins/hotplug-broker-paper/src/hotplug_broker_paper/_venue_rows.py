"""The venue's state as plain rows of text and numbers, and back."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hotplug.market import Fill, Liquidity, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from hotplug_broker_paper._venue_account import Account, Seen
from hotplug_broker_paper._venue_ledger import Holding
from hotplug_broker_paper._venue_orders import Standing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplug_broker_paper._venue import Venue
    from hotplug_broker_paper._venue_floor import Changes

__all__ = ["COLUMNS", "Row", "Tables", "changed_rows", "restore"]

Row: TypeAlias = "tuple[Any, ...]"
Tables: TypeAlias = "dict[str, list[Row]]"

COLUMNS: Final = {
    "accounts": "name cash capital fees orders trades time",
    "holdings": "account symbol multiplier qty cost loss",
    "seen": "account symbol bar_at quote_at buy sell",
    "orders": (
        "order_id account number client_order_id symbol side type tif qty price stop_price expire_at "
        "reduce_only tags status leaves filled paid rated fee locked closing unit seq arrived triggered "
        "active_at placed_at expires_at cancel_at created_at updated_at version reason"
    ),
    "fills": (
        "trade_id order_id client_order_id account symbol side qty price fee fee_currency liquidity time late"
    ),
}
"""The tables, and what stands in them."""


# -- to rows -----------------------------------------------------------------------------------------


def changed_rows(changes: Changes) -> Tables:
    """The rows that *changes* made."""
    return {
        "accounts": [_account_row(account) for account in changes.accounts],
        "holdings": [_holding_row(account, symbol) for account, symbol in changes.holdings],
        "seen": [_seen_row(account, symbol) for account, symbol in changes.seen],
        "orders": [_order_row(standing) for standing in changes.orders],
        "fills": [_fill_row(fill) for fill in changes.fills],
    }


def _account_row(account: Account) -> Row:
    ledger = account.ledger
    money = str(ledger.cash), str(ledger.capital), str(ledger.fees)
    return account.name, *money, account.orders, account.trades, _text(account.time)


def _holding_row(account: Account, symbol: str) -> Row:
    held = account.ledger.holdings[symbol]
    return account.name, symbol, str(held.multiplier), str(held.qty), str(held.cost), str(held.loss)


def _seen_row(account: Account, symbol: str) -> Row:
    seen = account.seen[symbol]
    return account.name, symbol, _text(seen.bar_at), _text(seen.quote_at), _text(seen.buy), _text(seen.sell)


def _order_row(standing: Standing) -> Row:
    asked = standing.asked
    return (
        standing.order_id,
        standing.account.name,
        standing.number,
        standing.client_order_id,
        standing.symbol,
        str(asked.side),
        str(asked.type),
        str(asked.tif),
        str(standing.qty),
        _text(standing.price),
        _text(standing.stop),
        _text(asked.expire_at),
        asked.reduce_only,
        json.dumps(asked.tags),
        str(standing.status),
        str(standing.leaves),
        str(standing.filled),
        str(standing.paid),
        str(standing.rated),
        str(standing.fee),
        str(standing.locked),
        str(standing.closing),
        str(standing.unit),
        standing.seq,
        standing.place is not standing.book.arrivals,
        standing.triggered,
        _text(standing.active_at),
        _text(standing.placed_at),
        _text(standing.expires_at),
        _text(standing.cancel_at),
        _text(standing.created_at),
        _text(standing.updated_at),
        standing.version,
        standing.reason,
    )


def _fill_row(fill: Fill) -> Row:
    return (
        fill.trade_id,
        fill.order_id,
        fill.client_order_id,
        fill.account,
        fill.symbol,
        str(fill.side),
        str(fill.qty),
        str(fill.price),
        str(fill.fee),
        fill.fee_currency,
        str(fill.liquidity),
        _text(fill.time),
        fill.late,
    )


def _text(value: datetime | Decimal | None) -> str | None:
    if value is None:
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value)


# -- from rows ---------------------------------------------------------------------------------------


def restore(venue: Venue, tables: Tables) -> None:
    """
    Put what *tables* say into a new *venue*; orders and fills are in the order in which they ended and were.

    Raises `ValueError`, `KeyError` or `ArithmeticError` for rows that no venue has written.
    """
    for row in tables["accounts"]:
        _restore_account(venue, row)
    for account, symbol, *figures in tables["holdings"]:
        venue.accounts[account].ledger.holdings[symbol] = Holding(*(Decimal(each) for each in figures))
    for account, symbol, bar_at, quote_at, buy, sell in tables["seen"]:
        venue.accounts[account].seen[symbol] = Seen(_time(bar_at), _time(quote_at), _sum(buy), _sum(sell))
    for account in venue.accounts.values():
        account.ledger.check()
    _restore_orders(venue, [_standing(venue, row) for row in tables["orders"]])
    venue.fills.extend(_fill(row) for row in tables["fills"])


def _restore_account(venue: Venue, row: Row) -> None:
    name, cash, capital, fees, orders, trades, time = row
    account = venue.accounts[name] = Account(name, Decimal(cash), venue.rules)
    account.ledger.capital, account.ledger.fees = Decimal(capital), Decimal(fees)
    account.orders, account.trades, account.time = orders, trades, _time(time)


def _standing(venue: Venue, row: Row) -> tuple[Standing, bool]:
    said = dict(zip(COLUMNS["orders"].split(), row, strict=True))
    account = venue.accounts[said["account"]]
    asked = OrderRequest(
        symbol=said["symbol"],
        side=Side(said["side"]),
        qty=Decimal(said["qty"]),
        type=OrderType(said["type"]),
        price=_sum(said["price"]),
        stop_price=_sum(said["stop_price"]),
        tif=TimeInForce(said["tif"]),
        expire_at=_time(said["expire_at"]),
        account=account.name,
        client_order_id=said["client_order_id"],
        reduce_only=bool(said["reduce_only"]),
        tags=tuple(json.loads(said["tags"])),
    )
    standing = Standing(
        asked, account, account.book(asked.symbol), said["number"], datetime.fromisoformat(said["created_at"])
    )
    for name in ("leaves", "filled", "paid", "rated", "fee", "locked", "closing", "unit"):
        setattr(standing, name, Decimal(said[name]))
    for name in ("active_at", "placed_at", "expires_at", "cancel_at"):
        setattr(standing, name, _time(said[name]))
    standing.status = OrderStatus(said["status"])
    standing.updated_at = datetime.fromisoformat(said["updated_at"])
    standing.seq, standing.version, standing.reason = said["seq"], said["version"], said["reason"]
    standing.triggered = bool(said["triggered"])
    return standing, bool(said["arrived"])


def _restore_orders(venue: Venue, found: Iterable[tuple[Standing, bool]]) -> None:
    for standing, has_arrived in sorted(found, key=lambda each: each[0].seq if each[0].open else 0):
        venue.by_order_id[standing.order_id] = standing
        standing.account.by_client[standing.client_order_id] = standing
        if standing.open:
            standing.account.take_back(standing, has_arrived=has_arrived)
        else:
            venue.ended.append(standing)


def _fill(row: Row) -> Fill:
    said = dict(zip(COLUMNS["fills"].split(), row, strict=True))
    for name in ("qty", "price", "fee"):
        said[name] = Decimal(said[name])
    said["side"], said["liquidity"] = Side(said["side"]), Liquidity(said["liquidity"])
    said["time"], said["late"] = datetime.fromisoformat(said["time"]), bool(said["late"])
    return Fill(**said)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _sum(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
