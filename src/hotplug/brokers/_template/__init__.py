"""The gateway that plugins subclass, and the parts it is made of."""

from __future__ import annotations

__all__: list[str] = []
