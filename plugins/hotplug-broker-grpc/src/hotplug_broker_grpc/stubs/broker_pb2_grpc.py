"""Methods of hotplug.broker.v1. Made by ``python -m hotplug_broker_grpc.generate``: do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hotplug_broker_grpc.stubs import broker_pb2 as pb

if TYPE_CHECKING:
    from hotplug_broker_grpc._wire import Channel, Streamed, Unary

__all__ = ["METHODS", "SERVICE", "Method", "Stub"]

SERVICE: Final = "hotplug.broker.v1.BrokerGateway"


class Method(NamedTuple):
    """One method: what it is asked, what it answers, and whether it does so many times."""

    asked: Any
    answer: Any
    streams: bool


METHODS: Final = {
    "GetInfo": Method(pb.InfoRequest, pb.Info, False),
    "GetHealth": Method(pb.HealthRequest, pb.HealthReport, False),
    "GetRateLimits": Method(pb.RateLimitsRequest, pb.RateLimits, False),
    "PlaceOrder": Method(pb.PlaceOrderRequest, pb.OrderAck, False),
    "CancelOrder": Method(pb.CancelOrderRequest, pb.Order, False),
    "ModifyOrder": Method(pb.ModifyOrderRequest, pb.Order, False),
    "CancelAll": Method(pb.CancelAllRequest, pb.CancelResults, False),
    "GetOrder": Method(pb.GetOrderRequest, pb.Order, False),
    "ListOpenOrders": Method(pb.ListRequest, pb.Orders, True),
    "ListFills": Method(pb.ListFillsRequest, pb.Fills, True),
    "ListPositions": Method(pb.ListRequest, pb.Positions, True),
    "ListBalances": Method(pb.ListRequest, pb.Balances, True),
    "GetSnapshot": Method(pb.ListRequest, pb.Snapshot, True),
    "GetInstrument": Method(pb.SymbolRequest, pb.Instrument, False),
    "GetQuote": Method(pb.SymbolRequest, pb.Quote, False),
    "ListBars": Method(pb.ListBarsRequest, pb.Bars, True),
    "StreamEvents": Method(pb.StreamEventsRequest, pb.EventBatch, True),
    "StreamQuotes": Method(pb.StreamQuotesRequest, pb.QuoteBatch, True),
}


class Stub:
    """The methods, as a client calls them."""

    def __init__(self, channel: Channel) -> None:
        self.GetInfo: Unary[pb.InfoRequest, pb.Info] = channel.unary_unary(
            f"/{SERVICE}/GetInfo", pb.InfoRequest.SerializeToString, pb.Info.FromString
        )
        self.GetHealth: Unary[pb.HealthRequest, pb.HealthReport] = channel.unary_unary(
            f"/{SERVICE}/GetHealth", pb.HealthRequest.SerializeToString, pb.HealthReport.FromString
        )
        self.GetRateLimits: Unary[pb.RateLimitsRequest, pb.RateLimits] = channel.unary_unary(
            f"/{SERVICE}/GetRateLimits", pb.RateLimitsRequest.SerializeToString, pb.RateLimits.FromString
        )
        self.PlaceOrder: Unary[pb.PlaceOrderRequest, pb.OrderAck] = channel.unary_unary(
            f"/{SERVICE}/PlaceOrder", pb.PlaceOrderRequest.SerializeToString, pb.OrderAck.FromString
        )
        self.CancelOrder: Unary[pb.CancelOrderRequest, pb.Order] = channel.unary_unary(
            f"/{SERVICE}/CancelOrder", pb.CancelOrderRequest.SerializeToString, pb.Order.FromString
        )
        self.ModifyOrder: Unary[pb.ModifyOrderRequest, pb.Order] = channel.unary_unary(
            f"/{SERVICE}/ModifyOrder", pb.ModifyOrderRequest.SerializeToString, pb.Order.FromString
        )
        self.CancelAll: Unary[pb.CancelAllRequest, pb.CancelResults] = channel.unary_unary(
            f"/{SERVICE}/CancelAll", pb.CancelAllRequest.SerializeToString, pb.CancelResults.FromString
        )
        self.GetOrder: Unary[pb.GetOrderRequest, pb.Order] = channel.unary_unary(
            f"/{SERVICE}/GetOrder", pb.GetOrderRequest.SerializeToString, pb.Order.FromString
        )
        self.ListOpenOrders: Streamed[pb.ListRequest, pb.Orders] = channel.unary_stream(
            f"/{SERVICE}/ListOpenOrders", pb.ListRequest.SerializeToString, pb.Orders.FromString
        )
        self.ListFills: Streamed[pb.ListFillsRequest, pb.Fills] = channel.unary_stream(
            f"/{SERVICE}/ListFills", pb.ListFillsRequest.SerializeToString, pb.Fills.FromString
        )
        self.ListPositions: Streamed[pb.ListRequest, pb.Positions] = channel.unary_stream(
            f"/{SERVICE}/ListPositions", pb.ListRequest.SerializeToString, pb.Positions.FromString
        )
        self.ListBalances: Streamed[pb.ListRequest, pb.Balances] = channel.unary_stream(
            f"/{SERVICE}/ListBalances", pb.ListRequest.SerializeToString, pb.Balances.FromString
        )
        self.GetSnapshot: Streamed[pb.ListRequest, pb.Snapshot] = channel.unary_stream(
            f"/{SERVICE}/GetSnapshot", pb.ListRequest.SerializeToString, pb.Snapshot.FromString
        )
        self.GetInstrument: Unary[pb.SymbolRequest, pb.Instrument] = channel.unary_unary(
            f"/{SERVICE}/GetInstrument", pb.SymbolRequest.SerializeToString, pb.Instrument.FromString
        )
        self.GetQuote: Unary[pb.SymbolRequest, pb.Quote] = channel.unary_unary(
            f"/{SERVICE}/GetQuote", pb.SymbolRequest.SerializeToString, pb.Quote.FromString
        )
        self.ListBars: Streamed[pb.ListBarsRequest, pb.Bars] = channel.unary_stream(
            f"/{SERVICE}/ListBars", pb.ListBarsRequest.SerializeToString, pb.Bars.FromString
        )
        self.StreamEvents: Streamed[pb.StreamEventsRequest, pb.EventBatch] = channel.unary_stream(
            f"/{SERVICE}/StreamEvents", pb.StreamEventsRequest.SerializeToString, pb.EventBatch.FromString
        )
        self.StreamQuotes: Streamed[pb.StreamQuotesRequest, pb.QuoteBatch] = channel.unary_stream(
            f"/{SERVICE}/StreamQuotes", pb.StreamQuotesRequest.SerializeToString, pb.QuoteBatch.FromString
        )
