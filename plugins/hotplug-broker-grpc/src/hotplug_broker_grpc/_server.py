"""The server: gateways on an address, with health and reflection beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hotplug.brokers import IBrokerGateway
from hotplug.errors import ConfigError
from hotplug_broker_grpc._calls import UNREAL, Counter, environment_of
from hotplug_broker_grpc._handlers import Reflection, handlers
from hotplug_broker_grpc._places import Place, Tls, bind
from hotplug_broker_grpc._principals import Principal, Principals
from hotplug_broker_grpc._verbs import Verbs
from hotplug_broker_grpc._wire import (
    aio,
    descriptor_pool,
    health,
    health_pb2,
    health_pb2_grpc,
    reflection_pb2,
    reflection_pb2_grpc,
)
from hotplug_broker_grpc.stubs import broker_pb2 as pb
from hotplug_broker_grpc.stubs.broker_pb2_grpc import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from hotplug_broker_grpc._wire import Server

__all__ = ["BrokerServer", "serve"]

_log = logging.getLogger("hotplug.brokers.grpc")
LOOK_INTERVAL: Final = 0.5
"""Seconds between two looks at the gateways' health and at the file of tokens."""
GRACE: Final = 5.0
OPTIONS: Final = (
    # Two servers on one port would each get some of the calls.
    ("grpc.so_reuseport", 0),
    # Clients that look often whether we are alive are welcome.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),
    # A client that hangs must not keep a stream.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    ("grpc.max_send_message_length", -1),
)

_statuses: Final = health_pb2.HealthCheckResponse


class BrokerServer:
    """
    Serves gateways to gRPC clients. Made by `serve`; ``async with`` starts and stops it.

    *address* is where it listens, with the port that it got, once it is started. It runs on the loop
    that started it; gateways may live on others.
    """

    def __init__(
        self,
        gateways: Mapping[str, Callable[[], IBrokerGateway]],
        address: str,
        principals: Principals,
        tls: Tls,
    ) -> None:
        self._gateways: Final = gateways
        self._place: Final = Place.of(address)
        self._principals: Final = principals
        self._tls: Final = tls
        self._counter: Final = Counter(
            gateways, principals, private=self._place.path is not None, loopback=self._place.loopback
        )
        self._server: Server | None = None
        self._verbs: Verbs | None = None
        self._health: Any = None
        self._looking: asyncio.Task[None] | None = None
        self.address = address

    async def start(self) -> None:
        """Listen; `ConfigError` for an address that needs more than was given, or is taken."""
        if self._server is not None:
            return
        self._refuse_if_open_to_all()
        server: Server = aio.server(options=OPTIONS)
        self._verbs = Verbs(self._counter)
        server.add_generic_rpc_handlers((handlers(self._verbs, self._counter),))
        self._health = health.aio.HealthServicer()
        _add_others(server, self._health, self._counter)
        self.address = bind(server, self._place, self._tls)
        await server.start()
        self._server = server
        await self._look()
        self._looking = asyncio.get_running_loop().create_task(self._look_again(), name="broker server: look")
        _log.info("serving %s at %s", ", ".join(self._gateways), self.address)

    async def stop(self, grace: float = GRACE) -> None:
        """Take no more calls, let those under way end within *grace* seconds; streams end at once."""
        server, self._server = self._server, None
        if server is None or self._verbs is None or self._looking is None:
            return
        self._looking.cancel()
        await asyncio.wait({self._looking})
        await self._health.enter_graceful_shutdown()
        self._verbs.stop()
        await server.stop(grace)
        await self._verbs.finish(grace)
        if self._place.path is not None:
            self._place.path.unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # -- who may come in ---------------------------------------------------------------------------

    def _refuse_if_open_to_all(self) -> None:
        place, known = self._place, bool(self._principals)
        if place.path is not None:
            return
        if not place.loopback:
            lacking = [
                what
                for what, given in (("TLS (a certificate and its key)", self._tls), ("tokens", known))
                if not given
            ]
            if lacking:
                raise ConfigError(
                    f"{place.text} can be reached from outside: it needs {' and '.join(lacking)} "
                    "(or listen at 127.0.0.1:PORT or unix:PATH)"
                )
        elif not known:
            real = [key for key, find in self._gateways.items() if environment_of(find()) not in UNREAL]
            if real:
                raise ConfigError(
                    f"{', '.join(real)}: without tokens only paper and mock brokers are served on loopback "
                    "(give tokens, or listen at unix:PATH)"
                )

    # -- looking -----------------------------------------------------------------------------------

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            await self._look()

    async def _look(self) -> None:
        """Tell the health service how the gateways are, and see whether tokens were withdrawn."""
        before = self._principals.problem
        self._principals.look_again()
        if self._principals.problem not in {None, before}:
            _log.error("nobody gets in any more by the file of tokens: %s", self._principals.problem)
        well = {key: _is_well(find) for key, find in self._gateways.items()}
        for name, good in (*well.items(), ("", all(well.values())), (SERVICE, all(well.values()))):
            await self._health.set(name, _statuses.SERVING if good else _statuses.NOT_SERVING)


def _is_well(find: Callable[[], IBrokerGateway]) -> bool:
    try:
        return find().info.healthy
    except Exception:  # noqa: BLE001 - the border to the gateway
        return False


def _add_others(server: Server, servicer: Any, counter: Counter) -> None:
    """Health, for everybody, and reflection over a pool of our own that knows all that is served."""
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    pool = descriptor_pool.DescriptorPool()
    for file in (pb.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        pool.AddSerializedFile(file.serialized_pb)
    names = (SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(names, pool, counter), server)


def serve(
    gateway: IBrokerGateway | Callable[[], IBrokerGateway] | Mapping[str, Callable[[], IBrokerGateway]],
    address: str = "127.0.0.1:0",
    *,
    broker_id: str | None = None,
    tokens: Mapping[str, Principal] | None = None,
    token_file: str | Path | None = None,
    tls_cert: str | Path | None = None,
    tls_key: str | Path | None = None,
    client_ca: str | Path | None = None,
) -> BrokerServer:
    """
    A server of *gateway* (or of several, by broker id), to be started by ``async with``.

    *gateway* may be any `IBrokerGateway`, a view included, or what finds the current one: it is asked at
    each call. *tokens* map to principals, so does *token_file*, which may change while we serve.
    Addresses: ``HOST:PORT`` (port 0: any), ``[HOST]:PORT``, ``unix:PATH``. On loopback without tokens only
    paper and mock brokers are served; what can be reached from outside needs TLS and tokens (`ConfigError`).
    """
    principals = Principals(tokens, file=None if token_file is None else Path(token_file))
    tls = Tls(*(None if file is None else Path(file) for file in (tls_cert, tls_key, client_ca)))
    return BrokerServer(dict(_by_id(gateway, broker_id)), address, principals, tls)


def _by_id(
    gateway: IBrokerGateway | Callable[[], IBrokerGateway] | Mapping[str, Callable[[], IBrokerGateway]],
    broker_id: str | None,
) -> Iterable[tuple[str, Callable[[], IBrokerGateway]]]:
    if isinstance(gateway, Mapping):
        yield from gateway.items()
    elif isinstance(gateway, IBrokerGateway):
        yield broker_id or gateway.broker_id, lambda: gateway
    else:
        yield broker_id or gateway().broker_id, gateway
