"""An order that tests of registries, views and façades place."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hotplug.market import OrderRequest, OrderType, Side, TimeInForce


def request(name: str = "x", **changes: Any) -> OrderRequest:
    """To buy one X for 5, good till cancelled, but for *changes*."""
    facts = {
        "symbol": "X",
        "side": Side.BUY,
        "qty": Decimal(1),
        "type": OrderType.LIMIT,
        "price": Decimal(5),
        "tif": TimeInForce.GTC,
        "client_order_id": name,
    }
    return OrderRequest(**{**facts, **changes})
