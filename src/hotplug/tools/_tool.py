"""What every tool is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplug.context import UserExecutionContext

__all__ = ["NO_ARGUMENTS", "Tool"]

NO_ARGUMENTS: Final[Mapping[str, Any]] = MappingProxyType(
    {"type": "object", "properties": {}, "additionalProperties": False}
)


class Tool(ABC):
    """
    Something that can be called with JSON arguments on behalf of a user.

    *input_schema* and *output_schema* are JSON Schema; *timeout* is in seconds, None waits for ever.
    What is not said to be harmless counts as *destructive*: such calls need an approval. An *idempotent*
    tool may be called again after a call of which nobody knows whether it took effect.
    """

    name: str = ""
    description: str = ""
    input_schema: Mapping[str, Any] = NO_ARGUMENTS
    output_schema: Mapping[str, Any] | None = None
    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    timeout: float | None = 30.0

    @abstractmethod
    async def call(self, arguments: Mapping[str, Any], context: UserExecutionContext) -> object:
        """
        Do it, and return something that JSON can say.

        Raise `InvalidArgumentsError` before anything happened if *arguments* do not fit. The text of a
        `ToolError` reaches the caller; any other error is for the log only.
        """

    @classmethod
    def _adopt(cls, target: object) -> Tool | None:
        """Make a typed function the tool it is; None for what is no such function. The loader asks."""
        from hotplug.tools._functions import adopt

        return adopt(target)
