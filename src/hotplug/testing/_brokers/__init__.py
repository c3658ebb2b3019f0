"""What every broker gateway promises, as tests to inherit."""

from __future__ import annotations

from hotplug.testing._brokers._identity import IdentityClaims
from hotplug.testing._brokers._market import MarketClaims
from hotplug.testing._brokers._orders import OrderClaims
from hotplug.testing._brokers._streams import StreamClaims

__all__ = ["BrokerContract"]


class BrokerContract(IdentityClaims, OrderClaims, MarketClaims, StreamClaims):
    """
    The promises of `IBrokerGateway`. Subclass it and say how to make the broker:

        class TestMine(BrokerContract):
            def make_broker(self) -> MyBroker:
                return MyBroker(url="http://127.0.0.1:8080")

    Each test makes a broker, connects it and disconnects it again. Orders are for *qty* of *symbol*; limits
    are set far from *price*, where a limit order to buy must rest. What needs a market is tested
    with gateways that are ``SIMULATED``, as these can be fed one.
    """
