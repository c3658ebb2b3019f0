"""How a client is asked for a yes, in words that every version of the SDK has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hotplug_mcp._answers import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug_mcp._answers import Answer, Question

__all__ = ["FORM", "PATIENCE", "can_be_asked", "cannot_ask", "forgotten", "is_yes", "not_approved"]

PATIENCE: Final = 300.0  # seconds; the approval lives no longer
FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "approve": {"type": "boolean", "title": "Approve", "description": "Make exactly this call, once."}
    },
    "required": ["approve"],
}


def can_be_asked(capabilities: object) -> bool:
    """Whether a client with these *capabilities* can show a form to its user."""
    elicitation: object = getattr(capabilities, "elicitation", None)
    if elicitation is None:
        return False
    # Clients of before there were links say nothing more than that they can ask.
    return getattr(elicitation, "form", None) is not None or getattr(elicitation, "url", None) is None


def is_yes(action: object, content: Mapping[str, Any] | None) -> bool:
    """Whether that is a yes, and nothing else."""
    return action == "accept" and (content or {}).get("approve") is True


def cannot_ask(question: Question) -> Answer:
    """The answer where nobody can be asked."""
    return refusal(
        f"tool {question.key!r} is destructive and needs its user's approval for each call, "
        "and this client cannot ask for it (MCP elicitation)"
    )


def not_approved(question: Question) -> Answer:
    """The answer to a no."""
    return refusal(f"the call of tool {question.key!r} was not approved; it was not made")


def forgotten(name: str) -> Answer:
    """The answer to an answer that comes too late, or twice."""
    return refusal(f"nobody waits any more for the approval of that call of {name!r}: call it again")
