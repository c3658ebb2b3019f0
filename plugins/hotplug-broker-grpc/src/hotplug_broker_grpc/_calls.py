"""One call at the server: for whom it is, on what, until when, and how it ends."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

from hotplug.brokers import BrokerGateway
from hotplug.brokers._hosting._stranger import Stranger
from hotplug.brokers._settings import Seat
from hotplug.errors import AuthenticationError, BrokerError, InvalidRequest, PermissionDenied
from hotplug.market import Attribution, Environment
from hotplug_broker_grpc._principals import AUTHORIZATION, LOCAL, Principal, Principals, Role, bearer
from hotplug_broker_grpc.stubs.broker_pb2_grpc import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hotplug.brokers import IBrokerGateway
    from hotplug.brokers._hosting._view import Desk
    from hotplug_broker_grpc._wire import Context, Metadata

__all__ = ["UNREAL", "Call", "Counter", "REQUEST_ID"]

_log = logging.getLogger("hotplug.brokers.grpc")
UNREAL: Final = frozenset({Environment.PAPER, Environment.MOCK})
"""Where no money can be lost: on loopback, these need no token."""
REQUEST_ID: Final = "x-request-id"
NARROWING: Final = frozenset(
    method.asked for method in METHODS.values() if "accounts" in method.asked.DESCRIPTOR.fields_by_name
)
"""The requests in which accounts may be named."""
RANKS: Final = (Role.READ, Role.TRADE, Role.ADMIN)
_PLAIN_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)


@dataclass(slots=True)
class Call:
    """What is known of a call under way."""

    broker_id: str
    gateway: IBrokerGateway
    desk: Desk
    principal: Principal
    accounts: frozenset[str] | None
    token: str | None
    given_id: str | None
    deadline: float | None
    trailers: Metadata = ()

    @property
    def request_id(self) -> str:
        """The id that the client gave its request, or one that we give it."""
        if self.given_id is None:
            self.given_id = uuid4().hex
        return self.given_id

    @property
    def seat(self) -> Seat:
        """Whom the gateway does it for."""
        accounts = self.accounts
        account = next(iter(accounts)) if accounts is not None and len(accounts) == 1 else None
        return Seat(
            accounts,
            Attribution(user=self.principal.user, account=account, request=self.request_id),
        )

    @property
    def is_detached(self) -> bool:
        """Whether the gateway itself sees to it that a send does not end with who asked for it."""
        return cast("object", self.desk) is self.gateway

    def needs(self, role: Role) -> None:
        """`PermissionDenied` for who may only look, or only trade."""
        held = self.principal.role
        if RANKS.index(held) < RANKS.index(role):
            raise PermissionDenied(
                f"{self.principal.user!r} may {held}, this needs {role}", code="role", outcome="NOT_SENT"
            )


class Counter:
    """Where calls come in: it looks at their tokens, and finds what they are about."""

    def __init__(
        self,
        gateways: Mapping[str, Callable[[], IBrokerGateway]],
        principals: Principals,
        *,
        private: bool,
        loopback: bool,
    ) -> None:
        self.gateways: Final = gateways
        self.principals: Final = principals
        self._private: Final = private
        self._open: Final = loopback and not principals
        self._strangers: dict[str, Stranger] = {}

    def call(self, request: Any, context: Context) -> Call:
        """What *request* is about; `BrokerError` (NOT_SENT) for who may not ask, or asks for nothing."""
        metadata = dict(context.invocation_metadata() or ())
        token = bearer(metadata) if AUTHORIZATION in metadata else None
        # Who is nobody is not even told what is served here.
        principal = self._known(token)
        broker_id, gateway = self._gateway(request.broker_id)
        if principal is None:
            principal = self._anybody(gateway)
        asked: Sequence[str] = request.accounts if type(request) in NARROWING else ()
        given = metadata.get(REQUEST_ID)
        return Call(
            broker_id,
            gateway,
            cast("Desk", gateway) if isinstance(gateway, BrokerGateway) else self._desk(broker_id, gateway),
            principal,
            principal.narrowed(frozenset(asked)) if asked else principal.accounts,
            token,
            given if isinstance(given, str) and _PLAIN_ID.fullmatch(given) else None,
            _deadline(context.time_remaining()),
        )

    def caller(self, metadata: Iterable[tuple[str, str | bytes]]) -> Principal:
        """Who calls a service that is about no broker; `AuthenticationError`."""
        principal = self._known(bearer(dict(metadata)))
        return self._anybody(*(find() for find in self.gateways.values())) if principal is None else principal

    def _known(self, token: str | None) -> Principal | None:
        """Whose *token* it is; ``None`` where it may be that none is needed."""
        if token is not None:
            return self.principals.of(token)
        if self._private:
            return LOCAL
        if self._open:
            return None
        raise _nameless()

    def _anybody(self, *gateways: IBrokerGateway) -> Principal:
        # Asked each time: a live gateway may stand under the key by now.
        if all(environment_of(gateway) in UNREAL for gateway in gateways):
            return LOCAL
        raise _nameless()

    def look_again(self, call: Call) -> None:
        """`BrokerError` where who called is not, or not so much, entitled any more."""
        now = self._known(call.token)
        if (self._anybody(call.gateway) if now is None else now) != call.principal:
            raise PermissionDenied(
                f"what is granted to {call.principal.user!r} has changed: ask again",
                code="grants_changed",
                outcome="NOT_SENT",
                retryable=True,
            )

    def _gateway(self, asked: str) -> tuple[str, IBrokerGateway]:
        if not asked and len(self.gateways) == 1:
            [asked] = self.gateways
        find = self.gateways.get(asked)
        if find is None:
            raise InvalidRequest(f"no broker {asked!r} is served here", code="broker_id", outcome="NOT_SENT")
        try:
            return asked, find()
        except BrokerError:
            raise
        except Exception as error:
            _log.warning("%s cannot be had: %s", asked, error)
            raise InvalidRequest(
                f"the broker {asked!r} is not there", code="broker_id", outcome="NOT_SENT"
            ) from error

    def _desk(self, broker_id: str, gateway: IBrokerGateway) -> Desk:
        stranger = self._strangers.get(broker_id)
        if stranger is None or stranger.gateway is not gateway:
            stranger = self._strangers[broker_id] = Stranger(gateway, broker_id)
        return cast("Desk", stranger)


def environment_of(gateway: IBrokerGateway) -> Environment | None:
    """How real it is; a gateway on the template says so without making a whole report."""
    return gateway.environment if isinstance(gateway, BrokerGateway) else gateway.info.environment


def _nameless() -> AuthenticationError:
    why = "a token is needed: 'authorization: Bearer …'"
    return AuthenticationError(why, code="token", outcome="NOT_SENT")


def _deadline(remaining: float | None) -> float | None:
    """What the gateway gets of the call's time: its answer shall come before the client gives up."""
    if remaining is None:
        return None
    return max(remaining - min(0.1 * remaining, 0.1), 0.0)
