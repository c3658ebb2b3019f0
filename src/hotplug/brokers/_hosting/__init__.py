"""The host's side: the registry of gateways, who may see what of them, and the brake."""

from __future__ import annotations

__all__: list[str] = []
