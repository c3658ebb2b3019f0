"""What is known of orders, and what is checked before one is sent."""

from __future__ import annotations

__all__: list[str] = []
