"""The registry of tools: who may call what, and the wall around the call."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import uuid4

from hotplug._lifecycle import WalledCall, name_and_text
from hotplug.context import serving
from hotplug.errors import (
    ContractError,
    NotOfferedError,
    NotRegisteredError,
    SchemaError,
    ToolError,
    ToolTimeoutError,
)
from hotplug.registry import UniversalRegistry
from hotplug.registry._entries import owner_of
from hotplug.tools._approvals import Approvals, Request
from hotplug.tools._export import exported
from hotplug.tools._functions import FunctionTool, adopt
from hotplug.tools._plain import canonical
from hotplug.tools._slots import ACCOUNT, Account, Stuck
from hotplug.tools._tool import Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hotplug._records import PluginRecord
    from hotplug.context import UserExecutionContext
    from hotplug.registry import Held, Undo
    from hotplug.registry._entries import Record
    from hotplug.tools._approvals import Approval
    from hotplug.tools._export import Export, Format

__all__ = ["ToolRegistry"]

log: Final = logging.getLogger("hotplug.tools")


class ToolRegistry(UniversalRegistry[Tool]):
    """
    The tools, under the names by which they are called.

    A tool registered with metadata ``{"offer": True}`` is offered to everybody, with a list of user ids
    to those, with ``False`` to nobody; without ``offer`` only read-only tools are offered. *offer_of*, if
    set, is asked first, with the key; it answers None where it has nothing to say. *discreet*, if set, takes
    the secrets that a tool was given, by its key, out of what the tool says went wrong.

    A call that was given up may leave its thread behind. A tool with *max_abandoned* such threads is
    quarantined: calls are refused at once, until one of the threads comes back.
    """

    _default_name: ClassVar[str] = "tools"
    _default_contract: ClassVar[type[Any] | str | None] = "hotplug.tools:Tool"

    def __init__(
        self, name: str | None = None, contract: type[Tool] | str | None = None, *, metrics: bool = True
    ) -> None:
        super().__init__(name, contract, metrics=metrics)
        self._approvals = Approvals()
        self._stuck = Stuck()
        self.offer_of: Callable[[str], object] | None = None
        self.discreet: Callable[[str, str], str] | None = None
        self.max_abandoned = 8

    def register(
        self,
        key: str,
        item: Tool | Callable[..., object],
        /,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, object] | None = None,
        owner: PluginRecord | None = None,
    ) -> Undo:
        """
        Stand a tool under *key*, or a typed function as the tool it is (it counts as destructive).

        Raises `ContractError` (also for a function whose signature is no schema), `DuplicateKeyError` or
        `FrozenRegistryError`; nothing is registered then.
        """
        wrapped = self._wrapped(key, item)
        return super().register(key, wrapped, tags=tags, metadata=metadata, owner=owner)

    def replace(self, key: str, item: Tool | Callable[..., object], /) -> Tool:
        """Swap the tool under *key* for another, or for a typed function; the old one is the answer."""
        return super().replace(key, self._wrapped(key, item))

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        context: UserExecutionContext,
        *,
        approval: Approval | None = None,
    ) -> object:
        """
        What the tool answers to *arguments* (JSON) on behalf of *context*'s user.

        Raises `NotRegisteredError`; `NotOfferedError`; `ApprovalRequiredError` for a destructive tool
        without a fitting *approval*; `InvalidArgumentsError`; `ToolTimeoutError`, after which nobody knows
        whether the call took effect; and `ToolError` when the tool is quarantined, or failed: the cause is
        in the log only.
        """
        with self.hold(name) as held:
            self._refuse_unless_on_offer(held, context)
            said = canonical(name, arguments)
            self._refuse_if_quarantined(held)
            tool = await held.aobtain(context)
            self._refuse_unless_offered(held, tool, context)
            if tool.destructive:
                self._approvals.use(approval, _request(held, tool, said, context))
            return await self._walled(held, tool, json.loads(said), context)

    def offered(self, context: UserExecutionContext) -> tuple[Tool, ...]:
        """
        The tools that *context*'s user may call, named by their keys, in registration order.

        Loads what might be among them (so off the event loop, please); what does not load is left out.
        """
        found = (self._offered_tool(key, context) for key in self.keys())
        return tuple(tool for tool in found if tool is not None)

    def approve(self, name: str, arguments: Mapping[str, Any], context: UserExecutionContext) -> Approval:
        """
        Say yes to one call of *name* with exactly these *arguments* by *context*'s user, within 5 minutes.

        Raises `NotRegisteredError`, `NotOfferedError`; `InvalidArgumentsError` for what is no JSON object.
        """
        with self.hold(name) as held:
            self._refuse_unless_on_offer(held, context)
            said = canonical(name, arguments)
            tool = held.obtain(context)
            self._refuse_unless_offered(held, tool, context)
            return self._approvals.give(_request(held, tool, said, context))

    def export(
        self,
        format: Format,  # noqa: A002 - the name is the contract's
        context: UserExecutionContext,
        *,
        strict: bool = False,
    ) -> list[dict[str, Any]]:
        """
        The tools offered to *context*'s user, as *format* describes tools, under names legal there.

        *strict* is for OpenAI: a tool that has a strict form gets it, others say ``"strict": False``, and
        the log says why; `exported` has the way back from what a model makes of it. Raises
        `DuplicateKeyError`, naming both owners, where two names become one.
        """
        export = self.exported(format, context, strict=strict)
        for clash in export.clashes:
            raise clash
        for problem in export.problems:
            log.warning("%s", problem)
        return list(export.descriptions)

    def exported(
        self,
        format: Format,  # noqa: A002 - the name is the contract's
        context: UserExecutionContext,
        *,
        strict: bool = False,
    ) -> Export:
        """`export` and the way back from what was called; where two names become one, both are changed."""
        return exported(self.offered(context), format, strict=strict, owner_of=self._owner_of)

    def quarantined(self) -> tuple[str, ...]:
        """The tools that are not called now, because too many of their threads never came back."""
        return tuple(key for key, record in self._snapshot().items() if self._abandoned(record))

    # -- machine room ------------------------------------------------------------------------------

    def _wrapped(self, key: str, item: object) -> Any:
        """A typed function as a tool; all else as it is, the contract has its say later."""
        try:
            made = adopt(item)
            if made is None:
                return item
            _ = made.input_schema
        except SchemaError as error:
            raise ContractError(self.name, str(key), f"the function is no tool: {error}") from error
        made.name = key
        return made

    def _owner_of(self, key: str) -> str:
        """Whose tool *key* is, in words."""
        record = self._snapshot().get(key)
        return f"tool {key!r}" if record is None else f"tool {key!r} of {owner_of(record)}"

    def _abandoned(self, record: Record[Tool]) -> int:
        """How many threads of a quarantined tool are stuck; 0 if it is not quarantined."""
        count = self._stuck.count(record)
        return count if count >= max(self.max_abandoned, 1) else 0

    def _refuse_if_quarantined(self, held: Held[Tool]) -> None:
        if count := self._abandoned(held.record):
            raise ToolError(
                f"tool {held.key!r} is quarantined: {count} calls of it were given up and still go on "
                "(it is called again when one of them ends, or after a reload)"
            )

    def _is_on_offer(self, held: Held[Tool], context: UserExecutionContext) -> bool | None:
        """Whether the user may call it by what was said; None if that depends on the tool."""
        offer = None if self.offer_of is None else self.offer_of(held.key)
        if offer is None:
            offer = held.entry.metadata.get("offer")
        if offer is None or isinstance(offer, bool):
            return offer
        return isinstance(offer, (list, tuple, set, frozenset)) and context.user_id in offer

    def _refuse_unless_on_offer(self, held: Held[Tool], context: UserExecutionContext) -> None:
        """Before loading it: who may not call a tool does not get it imported either."""
        if self._is_on_offer(held, context) is False:
            raise _not_offered(held.key, context)

    def _refuse_unless_offered(self, held: Held[Tool], tool: Tool, context: UserExecutionContext) -> None:
        on_offer = self._is_on_offer(held, context)
        if not (tool.read_only if on_offer is None else on_offer):
            raise _not_offered(held.key, context)

    def _offered_tool(self, key: str, context: UserExecutionContext) -> Tool | None:
        try:
            with self.hold(key) as held:
                self._refuse_unless_on_offer(held, context)
                tool = held.obtain(context)
                self._refuse_unless_offered(held, tool, context)
        except (NotOfferedError, NotRegisteredError):
            return None
        except Exception as error:  # noqa: BLE001 - the border to plugin code: one that fails hides no other
            log.warning("tool %s is not offered, it does not load: %s", key, name_and_text(error))
            return None
        return tool if tool.name == key else RenamedTool(key, tool)

    async def _walled(
        self, held: Held[Tool], tool: Tool, arguments: Mapping[str, Any], context: UserExecutionContext
    ) -> object:
        name = held.key
        # Not the key: what is registered or reloaded under it later does not answer for this call.
        account = Account(self._stuck, held.record, lambda: self._refuse_if_quarantined(held))
        # A typed function says itself when it begins: it may have to wait for a thread first.
        account.began = type(tool) is not FunctionTool

        async def work() -> object:
            ACCOUNT.set(account)
            serving.set(context)
            return await tool.call(arguments, context)

        outcome = await WalledCall(work).outcome(tool.timeout)
        if outcome.state == "done":
            return outcome.value
        if outcome.state == "timed out":
            raise _timed_out(name, tool, began=account.began, goes_on=outcome.left_behind)
        if isinstance(outcome.error, ToolError):
            raise self._hushed(name, outcome.error)
        incident = uuid4().hex[:8]
        log.error("tool %s failed (incident %s)", name, incident, exc_info=outcome.error)
        raise ToolError(f"tool {name!r} failed (see the log, incident {incident})")

    def _hushed(self, name: str, error: ToolError) -> ToolError:
        """*error*, whose text is for others, without what the tool has to keep to itself."""
        if (discreet := self.discreet) is not None:
            error.args = tuple(discreet(name, each) if isinstance(each, str) else each for each in error.args)
        return error


class RenamedTool(Tool):
    """A tool as it is called here: under its key."""

    def __init__(self, name: str, tool: Tool) -> None:
        self.name = name
        self.description = tool.description
        self.input_schema = tool.input_schema
        self.output_schema = tool.output_schema
        self.read_only = tool.read_only
        self.destructive = tool.destructive
        self.idempotent = tool.idempotent
        self.timeout = tool.timeout
        self._tool = tool

    async def call(self, arguments: Mapping[str, Any], context: UserExecutionContext) -> object:
        """Call the tool itself."""
        return await self._tool.call(arguments, context)


def _request(held: Held[Tool], tool: Tool, arguments: str, context: UserExecutionContext) -> Request:
    return Request(held.key, tool, context.user_id, held.entry.generation, arguments)


def _not_offered(key: str, context: UserExecutionContext) -> NotOfferedError:
    return NotOfferedError(
        f"tool {key!r} is not offered to user {context.user_id!r} "
        f'(offer it with [tools.{key}] offer = true, or to some: offer = ["{context.user_id}"])'
    )


def _timed_out(name: str, tool: Tool, *, began: bool, goes_on: bool) -> ToolTimeoutError:
    limit = f"within {tool.timeout:g} s"
    if not began:
        log.error("tool %s was not called: it had no turn %s", name, limit)
        return ToolTimeoutError(
            f"tool {name!r} was not called: too many calls are under way, and it had no turn {limit}",
            outcome="NOT_SENT",
            retryable=True,
        )
    log.error("tool %s did not answer %s%s", name, limit, ", and goes on" if goes_on else "")
    return ToolTimeoutError(
        f"tool {name!r} did not answer {limit}; whether it took effect is unknown",
        outcome="UNKNOWN",
        retryable=tool.read_only or tool.idempotent,
    )
