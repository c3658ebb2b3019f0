"""Serves any hotplug gateway over gRPC, and plugs any such server in as a gateway."""

from __future__ import annotations

from hotplug_broker_grpc._broker import GrpcBroker
from hotplug_broker_grpc._principals import Principal, Role
from hotplug_broker_grpc._server import BrokerServer, serve

__all__ = ["BrokerServer", "GrpcBroker", "Principal", "Role", "serve"]
