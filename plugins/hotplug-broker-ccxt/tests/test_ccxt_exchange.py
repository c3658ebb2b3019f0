"""The loopback exchange keeps to the documentation: signatures, times, limits, refusals."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from spot_exchange import SpotExchange

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
TERMS = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
REST = "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"


def answer(call: str, text: str, key: str = KEY) -> dict:
    venue = SpotExchange(api_key=KEY, secret=SECRET)
    params = dict(each.split("=") for each in text.replace("GTCquantity", "GTC&quantity").split("&"))
    return json.loads(venue.carry_out(call, text, params, {"x-mbx-apikey": key})[1])


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        (f"{TERMS}&{REST}", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
        (f"{TERMS}{REST}", "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"),
    ],
)
def test_the_documented_signatures_are_right(text, signature):
    """
    The documentation's examples fail for their time, which has passed; altered ones for their signature.
    """
    assert answer("POST /api/v3/order", f"{text}&signature={signature}")["code"] == -1021
    assert answer("POST /api/v3/order", f"{text}&signature={signature.upper()}")["code"] == -1021
    assert answer("POST /api/v3/order", f"{text}&signature={signature[:-1]}0")["code"] == -1022
    assert answer("POST /api/v3/order", f"{text}&signature={signature}", key="")["code"] == -2014
    assert answer("POST /api/v3/order", f"{text}&signature={signature}", key="x")["code"] == -2015


def test_weights_add_up_and_too_much_is_refused():
    """
    Weight is counted by the minute; above the limit is 429 with a time to wait, and going on is a ban.
    """
    venue = SpotExchange(weight_limit=10)
    status = [venue.carry_out("GET /api/v3/ping", "", {}, {}) for _ in range(15)]

    assert [each[0] for each in status][:10] == [200] * 10
    assert [each[0] for each in status][10:] == [429] * 4 + [418]
    assert int(status[10][2]["Retry-After"]) <= 60
    assert status[3][2]["X-MBX-USED-WEIGHT-1M"] == "4"


def test_money_is_conserved():
    """
    Whatever trades, ends and is cancelled: nothing is locked in the end, and only fees are gone.
    """
    venue = SpotExchange()
    venue.quote("BTCUSDT", "99", "101", ask_size="0.3")
    terms = {"symbol": "BTCUSDT", "timeInForce": "GTC", "type": "LIMIT", "quantity": "0.5"}
    for number, side in enumerate(("BUY", "BUY", "SELL", "SELL")):
        price = str(100 + number * (1 if side == "BUY" else 5))
        venue.market.place({**terms, "side": side, "price": price, "newClientOrderId": f"order{number}"})
    venue.fill("order0", "0.123")
    venue.quote("BTCUSDT", "115", "116")
    for order in venue.market.open_orders(None):
        venue.market.cancel({"symbol": "BTCUSDT", "orderId": str(order.id)})
    sums = {"BTC": 100, "USDT": 1_000_000}
    for trade in venue.market.trades:
        sign = 1 if trade.is_buyer else -1
        sums["BTC"] += sign * trade.qty
        sums["USDT"] -= sign * trade.qty * trade.price
        sums[trade.asset] -= trade.commission

    assert len(venue.market.trades) >= 3
    assert {asset: venue.market.free[asset] for asset in sums} == sums
    assert not any(venue.market.locked.values())


@pytest.mark.real_services
def test_it_runs_as_a_program():
    """
    As a process it says where it is, and can be programmed and asked from outside.
    """
    script = Path(__file__).with_name("spot_exchange.py")
    process = subprocess.Popen([sys.executable, str(script), "0"], stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().split()[1]
        body = json.dumps({"call": "GET /api/v3/ping", "status": 503}).encode()
        with urllib.request.urlopen(f"{url}/control/fault", body, timeout=10) as told:
            assert json.load(told)["orders"] == []
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{url}/api/v3/ping", timeout=10)
        with urllib.request.urlopen(f"{url}/control/state", timeout=10) as told:
            assert [each["call"] for each in json.load(told)["received"]] == ["GET /api/v3/ping"]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def test_waiting_ends():
    """
    Who waits for what never happens gets a time-out, not a hanging test.
    """

    async def story():
        async with SpotExchange() as venue:
            with pytest.raises(TimeoutError):
                await venue.until(lambda: False, deadline=0.01)

    asyncio.run(story())
