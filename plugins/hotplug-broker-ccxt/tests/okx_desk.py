"""
A loopback desk that speaks a part of OKX's documented v5 dialect: JSON bodies, base64 signatures, amendments.

Written from the public documentation: https://www.okx.com/docs-v5/en/ (public data, trade, trading account)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import time
from typing import Any

from loopback_http import Answer, Loopback

__all__ = ["OkxDesk"]


def failed(code: str, message: str) -> dict[str, Any]:
    """The answer to one order that was refused: the outer code says only that something was."""
    return {"code": "1", "data": [{"clOrdId": "", "ordId": "", "sCode": code, "sMsg": message}], "msg": ""}


class OkxDesk(Loopback):
    """One market, BTC-USDT; orders rest until they are cancelled."""

    api_key, secret, passphrase = "key", "secret", "words"

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[str, dict[str, str]] = {}
        self._ids = itertools.count(312269865356374016)

    def carry_out(self, call: str, text: str, params: dict[str, Any], headers: dict[str, str]) -> Answer:
        """Do it, if it is signed as it must be."""
        _, path = call.split(" ")
        if not path.startswith("/api/v5/public/") and not self._is_signed(call, text, headers):
            return 401, json.dumps({"code": "50113", "msg": "Invalid Sign", "data": []}), {}
        answer = {
            "GET /api/v5/public/instruments": self._instruments,
            "GET /api/v5/public/time": lambda _: {"code": "0", "data": [{"ts": self._now()}]},
            "GET /api/v5/account/balance": self._balance,
            "GET /api/v5/account/positions": self._positions,
            "GET /api/v5/trade/orders-pending": lambda _: {"code": "0", "data": list(self.orders.values())},
            "GET /api/v5/trade/order": self._order,
            "POST /api/v5/trade/batch-orders": self._place,
            "POST /api/v5/trade/amend-order": self._amend,
            "POST /api/v5/trade/cancel-order": self._cancel,
        }.get(call, lambda _: {"code": "0", "data": [], "msg": ""})
        return 200, json.dumps(answer(params)), {}

    def _is_signed(self, call: str, text: str, headers: dict[str, str]) -> bool:
        method, path = call.split(" ")
        text = f"?{text}" if method == "GET" and text else text
        signed = f"{headers.get('ok-access-timestamp')}{method}{path}{text}"
        right = base64.b64encode(hmac.new(self.secret.encode(), signed.encode(), hashlib.sha256).digest())
        return (
            headers.get("ok-access-key") == self.api_key
            and headers.get("ok-access-passphrase") == self.passphrase
            and hmac.compare_digest(right, headers.get("ok-access-sign", "").encode())
        )

    def _now(self) -> str:
        return str(int(time.time() * 1000))

    def _instruments(self, params: dict[str, Any]) -> dict[str, Any]:
        spot = {
            "instType": "SPOT",
            "instId": "BTC-USDT",
            "baseCcy": "BTC",
            "quoteCcy": "USDT",
            "settleCcy": "",
            "uly": "",
            "ctVal": "",
            "tickSz": "0.1",
            "lotSz": "0.00000001",
            "minSz": "0.00001",
            "state": "live",
            "listTime": "1548133413000",
            "expTime": "",
            "lever": "10",
        }
        contract = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "settleCcy": "USDT", "uly": "BTC-USDT"}
        contract |= {"ctVal": "0.01", "ctType": "linear", "lotSz": "0.1", "minSz": "0.1"}
        listed = {"SPOT": [spot], "SWAP": [spot | contract]}
        return {"code": "0", "data": listed.get(params["instType"], []), "msg": ""}

    def _positions(self, params: dict[str, Any]) -> dict[str, Any]:
        held = {
            "instType": "SWAP",
            "instId": "BTC-USDT-SWAP",
            "pos": "-3",
            "posSide": "net",
            "avgPx": "65000.1",
        }
        empty = {**held, "pos": "0"}
        return {
            "code": "0",
            "data": [{**held, "mgnMode": "cross"}, {**empty, "mgnMode": "isolated"}],
            "msg": "",
        }

    def _balance(self, params: dict[str, Any]) -> dict[str, Any]:
        accounts = (
            ("USDT", "4992.890093622894", "4834.317093622894", "158.573"),
            ("BTC", "0.100000000000000001", "0.100000000000000001", "0"),
        )
        names = ("ccy", "eq", "availBal", "frozenBal")
        details = [dict(zip(names, each, strict=True)) for each in accounts]
        return {"code": "0", "data": [{"uTime": self._now(), "details": details}], "msg": ""}

    def _place(self, params: dict[str, Any]) -> dict[str, Any]:
        if any(each["clOrdId"] == params["clOrdId"] for each in self.orders.values()):
            return failed("51016", "Client order ID already exists.")
        if float(params["sz"]) > 100:
            return failed("51008", "Order failed. Insufficient USDT balance in account.")
        order_id = str(next(self._ids))
        self.orders[order_id] = {
            "instType": "SWAP" if params["instId"].endswith("SWAP") else "SPOT",
            "instId": params["instId"],
            "ordId": order_id,
            "clOrdId": params["clOrdId"],
            "px": params.get("px", ""),
            "sz": params["sz"],
            "ordType": params["ordType"],
            "side": params["side"],
            "accFillSz": "0",
            "avgPx": "",
            "state": "live",
            "fee": "0",
            "feeCcy": "",
            "cTime": self._now(),
            "uTime": self._now(),
        }
        told = {"ordId": order_id, "clOrdId": params["clOrdId"], "sCode": "0", "sMsg": "Order placed"}
        return {"code": "0", "data": [told], "msg": ""}

    def _named(self, params: dict[str, Any]) -> dict[str, str] | None:
        found = [
            each
            for each in self.orders.values()
            if each["ordId"] == params.get("ordId") or each["clOrdId"] == params.get("clOrdId")
        ]
        return found[0] if found else None

    def _order(self, params: dict[str, Any]) -> dict[str, Any]:
        order = self._named(params)
        if order is None:
            return {"code": "51603", "data": [], "msg": "Order does not exist"}
        return {"code": "0", "data": [order], "msg": ""}

    def _amend(self, params: dict[str, Any]) -> dict[str, Any]:
        order = self._named(params)
        if order is None:
            return failed("51503", "Order modification failed as the order does not exist.")
        order |= {"sz": params.get("newSz", order["sz"]), "px": params.get("newPx", order["px"])}
        told = {"ordId": order["ordId"], "clOrdId": order["clOrdId"], "sCode": "0", "sMsg": ""}
        return {"code": "0", "data": [told], "msg": ""}

    def _cancel(self, params: dict[str, Any]) -> dict[str, Any]:
        order = self._named(params)
        if order is None:
            return failed("51603", "Order does not exist")
        del self.orders[order["ordId"]]
        order["state"] = "canceled"
        told = {"ordId": order["ordId"], "clOrdId": order["clOrdId"], "sCode": "0", "sMsg": ""}
        return {"code": "0", "data": [told], "msg": ""}
