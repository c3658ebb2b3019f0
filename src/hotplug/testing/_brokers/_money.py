"""What records are made of: exact numbers, and times that everybody reads the same."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast

from hotplug.testing._suite import claim

__all__ = ["claim_plain"]


def claim_plain(record: object, where: str = "") -> None:
    """Fail for a ``float``, a number that is none, or a time that is not in UTC, anywhere in *record*."""
    name = where or type(record).__name__
    claim(not isinstance(record, float), f"{name} is the float {record!r}: money and quantities are Decimal")
    if isinstance(record, Decimal):
        claim(record.is_finite(), f"{name} is {record}: that is no amount")
    elif isinstance(record, datetime):
        claim(record.utcoffset() == timedelta(), f"{name} is {record}: times are in UTC, and say so")
    elif isinstance(record, tuple):
        for number, each in enumerate(cast("tuple[object, ...]", record)):
            claim_plain(each, f"{name}[{number}]")
    elif is_dataclass(record):
        for field in fields(record):
            claim_plain(getattr(record, field.name), f"{name}.{field.name}")
