"""What came of the demo, as data for programs: money as decimal strings, times in ISO format."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hotplug import PluginStatus
    from hotplug.market import Fill, Order, Position
    from hotplug_demo._isolation import Outcome
    from hotplug_demo._play import Performance

__all__ = ["described", "fees_of", "holdings_of", "profit_of"]

FRACTION: Final = Decimal("1e-6")


def described(performance: Performance, strategy: str) -> dict[str, Any]:
    """The whole performance."""
    bars, audit = performance.bars, performance.audit
    return {
        "symbol": bars[0].symbol,
        "strategy": strategy,
        "bars": len(bars),
        "first": str(bars[0].time.date()),
        "last": str(bars[-1].time.date()),
        "plugins": [_plugin(status) for status in performance.plugins],
        "users": [_user(outcome, performance) for outcome in performance.outcomes],
        "isolated": audit.isolated,
        "checked": {
            "orders": audit.orders,
            "fills": audit.fills,
            "events": audit.events,
            "attempts": audit.attempts,
        },
        "breaches": list(audit.breaches),
        "seconds": round(performance.seconds, 3),
    }


def profit_of(outcome: Outcome) -> Decimal:
    """What the user's account gained (lost, below 0), positions at their last close, fees paid."""
    report = outcome.report
    return report.equity[-1] - report.capital


def fees_of(fills: Iterable[Fill]) -> Decimal:
    """What the broker took."""
    return sum((fill.fee for fill in fills), Decimal(0))


def holdings_of(outcome: Outcome, performance: Performance) -> tuple[Position, ...]:
    """The user's positions as the broker knows them, closed ones included."""
    positions = performance.evidence.books.positions or ()
    return tuple(position for position in positions if position.account == outcome.player.user)


def _plugin(status: PluginStatus) -> dict[str, Any]:
    record = status.record
    return {
        "kind": record.kind,
        "name": record.name,
        "key": status.key,
        "distribution": record.distribution,
        "version": record.version,
        "state": status.state,
        "reason": status.reason,
        "remedy": status.remedy,
    }


def _user(outcome: Outcome, performance: Performance) -> dict[str, Any]:
    player, report = outcome.player, outcome.report
    return {
        "user": player.user,
        "account": report.account,
        "settings": dict(player.settings),
        "question": dict(player.question),
        "answer": dict(outcome.answer),
        "events": [event.type for event in outcome.events],
        "orders": [_order(order) for order in report.orders],
        "fills": [_fill(fill) for fill in report.trades],
        "positions": [_position(position) for position in holdings_of(outcome, performance)],
        "fees": _plain(fees_of(report.trades)),
        "capital": _plain(report.capital),
        "profit": _plain(profit_of(outcome)),
        "return": _plain(report.return_.quantize(FRACTION)),
        "max_drawdown": _plain(report.max_drawdown.quantize(FRACTION)),
        "equity": [_plain(value) for value in report.equity],
    }


def _order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": order.symbol,
        "side": order.side,
        "qty": _plain(order.qty),
        "type": order.type,
        "status": order.status,
        "filled_qty": _plain(order.filled_qty),
        "avg_price": None if order.avg_price is None else _plain(order.avg_price),
        "created_at": None if order.created_at is None else order.created_at.isoformat(),
        "reason": order.reason,
    }


def _fill(fill: Fill) -> dict[str, Any]:
    return {
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "account": fill.account,
        "symbol": fill.symbol,
        "side": fill.side,
        "qty": _plain(fill.qty),
        "price": _plain(fill.price),
        "fee": _plain(fill.fee),
        "time": fill.time.isoformat(),
    }


def _position(position: Position) -> Mapping[str, Any]:
    return {
        "account": position.account,
        "symbol": position.symbol,
        "qty": _plain(position.qty),
        "avg_price": None if position.avg_price is None else _plain(position.avg_price),
        "realized_pnl": _plain(position.realized_pnl),
    }


def _plain(value: Decimal) -> str:
    """Digits only, never ``1E+5``."""
    return format(value, "f")
