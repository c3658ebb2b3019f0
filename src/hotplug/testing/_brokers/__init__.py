"""What every broker gateway promises, as tests to inherit."""

from __future__ import annotations

from hotplug.testing._brokers._changes import ChangeClaims
from hotplug.testing._brokers._faults import Faults
from hotplug.testing._brokers._identity import IdentityClaims
from hotplug.testing._brokers._ids import IdClaims
from hotplug.testing._brokers._life import LifeClaims
from hotplug.testing._brokers._lines import LineClaims
from hotplug.testing._brokers._market import MarketClaims
from hotplug.testing._brokers._orders import OrderClaims
from hotplug.testing._brokers._sessions import SessionClaims
from hotplug.testing._brokers._streams import StreamClaims

__all__ = ["BrokerContract", "Faults"]


class BrokerContract(
    IdentityClaims,
    LifeClaims,
    OrderClaims,
    IdClaims,
    ChangeClaims,
    LineClaims,
    StreamClaims,
    SessionClaims,
    MarketClaims,
):
    """
    The promises of `IBrokerGateway`. Subclass it and say how to make the broker:

        class TestMine(BrokerContract):
            def make_broker(self) -> MyBroker:
                return MyBroker(url="http://127.0.0.1:8080")

    Each test makes a broker, connects it and disconnects it again, on an event loop of its own. Orders are
    for *qty* of *symbol* (several times as much must be possible too); limits are set far from *price*, where
    a limit order to buy must rest. Any `IBrokerGateway` will do; use a sandbox, or a venue of your own in
    the tests: a live gateway takes no orders here.

    What more is tested depends on what you give. A claim that lacks it is skipped, and says what it lacks:

    ==================  ====================================================================================
    ``faults()``        a `Faults`: lost answers, refusals, broken lines, fills, and what the venue received
    ``make_second()``   another gateway to the same venue: hand-over
    ``accounts``        two accounts that it trades: views
    ``make_limited()``  a gateway whose rate window a test can fill: limits
    ``world()``         an asynchronous context in which each test runs, say with a server
    ==================  ====================================================================================

    What needs a capability (``MODIFY``, ``STREAM``, ``INSTRUMENTS``, ``SIMULATED``) is tested with gateways
    that have it; what is promised by `BrokerGateway` alone, with those built on it. *soon*, *short*,
    *longest_pause* and *time_limit* are in seconds.
    """
