"""Annotations become settings, arguments, JSON schemas; members become a list of differences."""

from __future__ import annotations

from hotplug._signature._contracts import differences
from hotplug._signature._parameters import Parameter, Signature, settings_of
from hotplug._signature._schemas import describe, json_schema, output_schema
from hotplug._signature._secrets import Secret, masked, reveal
from hotplug._signature._values import Misfit, arguments, convert, dotted, fit

__all__ = [
    "Misfit",
    "Parameter",
    "Secret",
    "Signature",
    "arguments",
    "convert",
    "describe",
    "differences",
    "dotted",
    "fit",
    "json_schema",
    "masked",
    "output_schema",
    "reveal",
    "settings_of",
]
