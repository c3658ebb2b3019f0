"""Rate limits: windows, the queue at them, and who may go next."""

from __future__ import annotations

__all__: list[str] = []
