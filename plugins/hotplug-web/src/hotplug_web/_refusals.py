"""What is not granted, and how that is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

__all__ = [
    "GONE",
    "FORBIDDEN",
    "Refusal",
    "TOO_BIG",
    "TOO_LATE",
    "TOO_MANY",
    "TRY_LATER",
    "UNKNOWN",
    "refused",
]

GONE: Final = 1001
"""The server goes away."""
TOO_BIG: Final = 1009
TRY_LATER: Final = 1013
UNKNOWN: Final = 4401
"""Not, or no longer, known."""
FORBIDDEN: Final = 4403
TOO_LATE: Final = 4408
"""Said too little, or took too little, in time."""
TOO_MANY: Final = 4429


class Refusal(Exception):  # noqa: N818 - it is an answer
    """What was asked is not done: *why* goes to the caller and holds no secret."""

    def __init__(self, status: int, why: str, **facts: Any) -> None:
        self.status: Final = status
        self.why: Final = why
        self.facts: Final[Mapping[str, Any]] = facts
        super().__init__(status, why)

    def __str__(self) -> str:
        return self.why

    @property
    def close_code(self) -> int:
        """What closes a WebSocket for the same reason."""
        codes = {401: UNKNOWN, 403: FORBIDDEN, 408: TOO_LATE, 413: TOO_BIG, 429: TOO_MANY, 503: TRY_LATER}
        return codes.get(self.status, FORBIDDEN)

    def answer(self) -> Response:
        """The refusal as a response."""
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.status == 429:
            headers["Retry-After"] = "1"
        return JSONResponse({"error": self.why, **self.facts}, self.status, headers)


async def refused(_request: Request, error: Exception) -> Response:
    """Answer for a `Refusal` that a route raised."""
    assert isinstance(error, Refusal)  # noqa: S101 - it is registered for nothing else
    return error.answer()
