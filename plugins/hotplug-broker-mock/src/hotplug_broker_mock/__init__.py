"""A scripted broker for tests of hotplug: latency, faults, disconnects, fills and a clock by plan."""

from __future__ import annotations

from hotplug_broker_mock._broker import MockBroker
from hotplug_broker_mock._calls import Call
from hotplug_broker_mock._clock import Clock, LoopClock, ManualClock
from hotplug_broker_mock._habits import Habits
from hotplug_broker_mock._rules import CALLS, FAULTS, ReportRule, Rule
from hotplug_broker_mock._shared import forget_venue, shared_venue
from hotplug_broker_mock._venue import MockVenue

__all__ = [
    "CALLS",
    "Call",
    "Clock",
    "FAULTS",
    "Habits",
    "LoopClock",
    "ManualClock",
    "MockBroker",
    "MockVenue",
    "ReportRule",
    "Rule",
    "forget_venue",
    "shared_venue",
]
