"""What happened: the journal, the log over it, streams and quotes."""

from __future__ import annotations

__all__: list[str] = []
