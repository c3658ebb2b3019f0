"""
A loopback exchange that speaks the documented Binance Spot REST dialect.

Written from the public documentation, for what a client may rely on:
https://developers.binance.com/docs/binance-spot-api-docs/rest-api (limits, signing, endpoints)
https://developers.binance.com/docs/binance-spot-api-docs/errors

In a test, on the test's own loop:

    async with SpotExchange() as venue:
        venue.fail("POST /api/v3/order", then="lose", when="after")
        ... venue.url ... venue.received ...

As a process of its own: ``python spot_exchange.py PORT`` (0 for a free one; prints ``ready URL``). There,
``GET /control/state`` tells orders, trades and requests; ``POST /control/fault``, ``/control/quote`` and
``/control/fill`` take the keyword arguments of `fail`, `quote` and `fill` as a JSON object.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict
from decimal import Decimal

from loopback_http import Answer, Loopback
from spot_market import TYPES, Listing, RefusedError, SpotMarket, VenueOrder, eight

__all__ = ["SpotExchange"]

MINUTE = 60_000
STREAMS = "Please use WebSocket Streams for live updates"
LISTINGS = (
    Listing("BTC", "USDT"),
    Listing("ETH", "USDT", step="0.0001", min_qty="0.0001"),
    Listing("SHIB", "USDT", tick="0.00000001", step="1", min_qty="1", min_notional="1"),
    Listing("ETH", "BTC", tick="0.00001", step="0.0001", min_qty="0.0001", min_notional="0.0001"),
)
BALANCES = {"USDT": "1000000", "BTC": "100", "ETH": "1000", "SHIB": "100000000", "BNB": "0"}
SIGNED = {"timestamp", "recvWindow", "signature"}
ORDER_FIELDS = {
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "price",
    "newClientOrderId",
    "stopPrice",
    "newOrderRespType",
}


class SpotExchange(Loopback):
    """The exchange; *skew* is what its clock is ahead of ours, in milliseconds."""

    def __init__(
        self,
        *,
        api_key: str = "key",
        secret: str = "secret",
        listings: tuple[Listing, ...] = LISTINGS,
        balances: dict[str, str] = BALANCES,
        weight_limit: int = 6000,
        order_limit: int = 100,
        skew: int = 0,
    ) -> None:
        super().__init__()
        self.api_key, self.secret = api_key, secret
        self.weight_limit, self.order_limit, self.skew = weight_limit, order_limit, skew
        self.market = SpotMarket([Listing(**asdict(each)) for each in listings], balances, self.now)
        self.banned_until = 0
        self.violations = 0
        self._weight: Counter[int] = Counter()
        self._orders: deque[int] = deque()
        self._endpoints = {
            "GET /api/v3/ping": (1, False, lambda _: {}),
            "GET /api/v3/time": (1, False, lambda _: {"serverTime": self.now()}),
            "GET /api/v3/exchangeInfo": (20, False, self._exchange_info),
            "GET /api/v3/ticker/bookTicker": (2, False, self._book_ticker),
            "GET /api/v3/ticker/24hr": (2, False, self._day_ticker),
            "GET /api/v3/klines": (2, False, self._klines),
            "GET /api/v3/account": (20, True, self._account),
            "POST /api/v3/order": (1, True, self._place),
            "GET /api/v3/order": (4, True, lambda p: self.market.find(p).told()),
            "DELETE /api/v3/order": (1, True, self._cancel),
            "GET /api/v3/openOrders": (6, True, self._open_orders),
            "GET /api/v3/allOrders": (20, True, self._all_orders),
            "GET /api/v3/myTrades": (20, True, self._my_trades),
        }

    # -- for tests ---------------------------------------------------------------------------------

    def now(self) -> int:
        """Its time, in milliseconds."""
        return int(time.time() * 1000) + self.skew

    def order(self, client_id: str) -> VenueOrder | None:
        """The newest order under *client_id*."""
        found = [each for each in self.market.orders.values() if each.client_id == client_id]
        return found[-1] if found else None

    def quote(self, symbol: str, bid: str, ask: str, **sizes: str) -> None:
        """A new best bid and ask; ``bid_size`` and ``ask_size``."""
        self.market.quote(symbol, bid, ask, **sizes)

    def fill(self, client_id: str, qty: str | None = None, price: str | None = None) -> None:
        """Let the order under *client_id* trade."""
        order = self.order(client_id)
        assert order is not None, client_id
        self.market.fill(order, qty and Decimal(qty), price and Decimal(price))

    def weight(self) -> int:
        """The weight that it counted, in all minutes."""
        return self._weight.total()

    # -- carrying out ------------------------------------------------------------------------------

    def carry_out(self, call: str, text: str, params: dict[str, str], headers: dict[str, str]) -> Answer:
        """Weigh it, look at its signature, and do it."""
        more: dict[str, str] = {}
        try:
            if call not in self._endpoints:
                return 404, "<html><body>404 Not Found</body></html>", more
            weight, is_signed, answer = self._endpoints[call]
            self._weigh(call, weight, params, more)
            if is_signed:
                self._check_signature(text, params, headers)
            told = answer(params)
            if call == "POST /api/v3/order":
                more["X-MBX-ORDER-COUNT-10S"] = str(len(self._orders))
            return 200, json.dumps(told), more
        except RefusedError as refused:
            text = json.dumps({"code": refused.code, "msg": refused.msg})
            return refused.status, text, more | refused.headers

    # -- limits and signatures ---------------------------------------------------------------------

    def _weigh(self, call: str, weight: int, params: dict[str, str], more: dict[str, str]) -> None:
        now = self.now()
        minute = now // MINUTE
        if now < self.banned_until:
            text = f"Way too much request weight used; IP banned until {self.banned_until}."
            text += f" {STREAMS} to avoid bans."
            raise RefusedError(418, -1003, text, {"Retry-After": str((self.banned_until - now) // 1000 + 1)})
        if call == "GET /api/v3/openOrders" and "symbol" not in params:
            weight = 80
        self._weight[minute] += weight
        more["X-MBX-USED-WEIGHT-1M"] = more["X-MBX-USED-WEIGHT"] = str(self._weight[minute])
        if self._weight[minute] > self.weight_limit:
            self.violations += 1
            if self.violations > 3:
                self.banned_until = now + 2 * MINUTE
            text = f"Too much request weight used; current limit is {self.weight_limit} request weight"
            text += f" per 1 MINUTE. {STREAMS} to avoid polling the API."
            raise RefusedError(429, -1003, text, {"Retry-After": str((MINUTE - now % MINUTE) // 1000 + 1)})

    def _count_order(self) -> None:
        now = self.now()
        while self._orders and self._orders[0] <= now - 10_000:
            self._orders.popleft()
        if len(self._orders) >= self.order_limit:
            text = f"Too many new orders; current limit is {self.order_limit} orders per 10 SECOND."
            raise RefusedError(429, -1015, text)
        self._orders.append(now)

    def _check_signature(self, text: str, params: dict[str, str], headers: dict[str, str]) -> None:
        if not headers.get("x-mbx-apikey"):
            raise RefusedError(401, -2014, "API-key format invalid.")
        if headers["x-mbx-apikey"] != self.api_key:
            raise RefusedError(401, -2015, "Invalid API-key, IP, or permissions for action.")
        for name in ("signature", "timestamp"):
            if not params.get(name):
                raise RefusedError(
                    400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
                )
        # The query string and the body follow each other without an ampersand.
        signed = text.replace(f"&signature={params['signature']}", "")
        right = hmac.new(self.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, params["signature"].lower()):
            raise RefusedError(400, -1022, "Signature for this request is not valid.")
        window, sent, now = int(params.get("recvWindow", 5000)), int(params["timestamp"]), self.now()
        if window > 60_000:
            raise RefusedError(400, -1131, "recvWindow must be less than 60000.")
        if sent >= now + 1000:
            raise RefusedError(
                400, -1021, "Timestamp for this request was 1000ms ahead of the server's time."
            )
        if now - sent > window:
            raise RefusedError(400, -1021, "Timestamp for this request is outside of the recvWindow.")

    # -- endpoints ---------------------------------------------------------------------------------

    def _exchange_info(self, params: dict[str, str]) -> dict[str, object]:
        return {
            "timezone": "UTC",
            "serverTime": self.now(),
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": self.weight_limit,
                },
                {
                    "rateLimitType": "ORDERS",
                    "interval": "SECOND",
                    "intervalNum": 10,
                    "limit": self.order_limit,
                },
            ],
            "exchangeFilters": [],
            "symbols": [_symbol_info(each) for each in self.market.listings.values()],
        }

    def _book_ticker(self, params: dict[str, str]) -> object:
        def told(each: Listing) -> dict[str, str]:
            return {
                "symbol": each.symbol,
                "bidPrice": eight(each.bid),
                "bidQty": eight(each.bid_size),
                "askPrice": eight(each.ask),
                "askQty": eight(each.ask_size),
            }

        if "symbol" in params:
            return told(self.market.listing(params))
        listings = self.market.listings
        wanted = json.loads(params["symbols"]) if "symbols" in params else list(listings)
        return [told(self.market.listing({"symbol": each})) for each in wanted]

    def _day_ticker(self, params: dict[str, str]) -> dict[str, object]:
        listing = self.market.listing(params)
        now, last = self.now(), eight((listing.bid + listing.ask) / 2)
        prices = ("lastPrice", "openPrice", "highPrice", "lowPrice", "weightedAvgPrice", "prevClosePrice")
        return dict.fromkeys(prices, last) | {
            "symbol": listing.symbol,
            "priceChange": "0.00000000",
            "priceChangePercent": "0.000",
            "lastQty": "0.00000000",
            "bidPrice": eight(listing.bid),
            "bidQty": eight(listing.bid_size),
            "askPrice": eight(listing.ask),
            "askQty": eight(listing.ask_size),
            "volume": "0.00000000",
            "quoteVolume": "0.00000000",
            "openTime": now - 86_400_000,
            "closeTime": now,
            "firstId": -1,
            "lastId": -1,
            "count": 0,
        }

    def _klines(self, params: dict[str, str]) -> list[list[object]]:
        listing = self.market.listing(params)
        steps = {"1m": MINUTE, "5m": 5 * MINUTE, "1h": 60 * MINUTE, "1d": 1440 * MINUTE}
        if params.get("interval") not in steps:
            raise RefusedError(400, -1120, "Invalid interval.")
        step, limit = steps[params["interval"]], min(int(params.get("limit", 500)), 1000)
        end = min(int(params.get("endTime", self.now())), self.now())
        start = int(params["startTime"]) if "startTime" in params else end - step * (limit - 1)
        first = -(-start // step) * step
        price = eight((listing.bid + listing.ask) / 2)
        return [
            [each, price, price, price, price, "12.34567891", each + step - 1, "0", 1, "0", "0", "0"]
            for each in range(first, end + 1, step)[:limit]
        ]

    def _account(self, params: dict[str, str]) -> dict[str, object]:
        market = self.market
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "canTrade": True,
            "updateTime": self.now(),
            "accountType": "SPOT",
            "balances": [
                {"asset": each, "free": eight(amount), "locked": eight(market.locked.get(each, Decimal(0)))}
                for each, amount in market.free.items()
            ],
            "permissions": ["SPOT"],
            "uid": 354937868,
        }

    def _place(self, params: dict[str, str]) -> dict[str, object]:
        if unread := set(params) - ORDER_FIELDS - SIGNED:
            read = len(params) - len(unread)
            text = f"read '{read}' parameter(s) but was sent '{len(params)}'."
            raise RefusedError(400, -1104, f"Not all sent parameters were read; {text}")
        self._count_order()
        order = self.market.place(params)
        told = order.told()
        for name in ("time", "updateTime", "isWorking"):
            del told[name]
        fills = [
            {
                "price": eight(each.price),
                "qty": eight(each.qty),
                "commission": eight(each.commission),
                "commissionAsset": each.asset,
                "tradeId": each.id,
            }
            for each in order.trades
        ]
        return told | {"transactTime": order.time, "fills": fills}

    def _cancel(self, params: dict[str, str]) -> dict[str, object]:
        order = self.market.cancel(params)
        told = order.told()
        for name in ("time", "updateTime", "isWorking", "workingTime", "icebergQty"):
            del told[name]
        # The id under clientOrderId is that of the cancel.
        told |= {"origClientOrderId": order.client_id, "clientOrderId": f"cancel{order.id}"}
        return told | {"transactTime": self.now()}

    def _open_orders(self, params: dict[str, str]) -> list[dict[str, object]]:
        symbol = self.market.listing(params).symbol if "symbol" in params else None
        return [each.told() for each in self.market.open_orders(symbol)]

    def _all_orders(self, params: dict[str, str]) -> list[dict[str, object]]:
        symbol = self.market.listing(params).symbol
        return [each.told() for each in self.market.orders.values() if each.symbol == symbol]

    def _my_trades(self, params: dict[str, str]) -> list[dict[str, object]]:
        symbol = self.market.listing(params).symbol
        start, end = int(params.get("startTime", 0)), int(params.get("endTime", 1 << 60))
        if "startTime" in params and "endTime" in params and end - start > 86_400_000:
            raise RefusedError(400, -1127, "More than 24 hours between startTime and endTime.")
        found = [
            each
            for each in self.market.trades
            if each.symbol == symbol
            and start <= each.time <= end
            and params.get("orderId", str(each.order_id)) == str(each.order_id)
        ]
        limit = min(int(params.get("limit", 500)), 1000)
        page = found[:limit] if "startTime" in params or "fromId" in params else found[-limit:]
        return [each.told() for each in page]

    # -- from another process ----------------------------------------------------------------------

    def control(self, path: str, body: str) -> object:
        """Program it, and see what it knows."""
        arguments = json.loads(body) if body else {}
        if path == "/control/fault":
            self.fail(**arguments)
        elif path == "/control/quote":
            self.quote(**arguments)
        elif path == "/control/fill":
            self.fill(**arguments)
        return {
            "orders": [each.told() for each in self.market.orders.values()],
            "trades": [each.told() for each in self.market.trades],
            "received": [asdict(each) for each in self.received],
            "free": {asset: eight(amount) for asset, amount in self.market.free.items()},
            "locked": {asset: eight(amount) for asset, amount in self.market.locked.items()},
        }


def _symbol_info(each: Listing) -> dict[str, object]:
    return {
        "symbol": each.symbol,
        "status": "TRADING" if each.is_trading else "HALT",
        "baseAsset": each.base,
        "baseAssetPrecision": 8,
        "quoteAsset": each.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": each.tick,
                "maxPrice": "1000000.00",
                "tickSize": each.tick,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": each.min_qty,
                "maxQty": "90000000.00",
                "stepSize": each.step,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": each.min_notional,
                "applyMinToMarket": True,
                "maxNotional": "9000000.00",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


async def _main(port: int) -> None:
    venue = SpotExchange()
    print("ready", await venue.start(port), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
