"""Typed functions as tools: the signature is the schema."""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeGuard, TypeVar, overload

from hotplug import _signature
from hotplug.context import UserExecutionContext
from hotplug.tools._plain import plain
from hotplug.tools._slots import ACCOUNT, SLOTS
from hotplug.tools._tool import Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FunctionTool", "adopt", "as_tool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")


class FunctionTool(Tool, Generic[P, R]):
    """
    A typed function as a tool; calling it directly calls the function.

    A parameter annotated `UserExecutionContext` is filled in and hidden from the schema. A sync
    function runs in a daemon thread with the caller's context variables (64 at a time in all, shared
    fairly between users); with ``run_in_thread=False`` it runs on the event loop, and must not wait there.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        read_only: bool = False,
        destructive: bool | None = None,
        idempotent: bool = False,
        timeout: float | None = 30.0,
        run_in_thread: bool = True,
    ) -> None:
        if read_only and destructive:
            raise ValueError(f"{_name_of(function)} cannot be both read-only and destructive")
        self.function = function
        self.name: str = name or _name_of(function)
        self.read_only = read_only
        self.destructive: bool = not read_only if destructive is None else destructive
        self.idempotent = idempotent
        self.timeout = timeout
        self.run_in_thread = run_in_thread
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name!r}: {_name_of(self.function)}>"

    # Made when first asked for: at decoration, what annotations name may not be defined yet.

    @functools.cached_property
    def description(self) -> str:  # type: ignore[override]
        """The first paragraph of the docstring."""
        return _signature.describe(self.function)

    @functools.cached_property
    def input_schema(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The arguments, from annotations and docstring."""
        return _signature.json_schema(self.function, {UserExecutionContext})

    @functools.cached_property
    def output_schema(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        """What comes back, from the return annotation; None where that promises nothing."""
        return _signature.output_schema(self.function)

    async def call(self, arguments: Mapping[str, Any], context: UserExecutionContext) -> object:
        """Check the arguments, call the function, check what it returned against its annotation."""
        given = _signature.arguments(self.function, arguments, {UserExecutionContext: context})
        function: Callable[..., R] = self.function
        call = functools.partial(function, **given)
        if inspect.iscoroutinefunction(self.function) or not self.run_in_thread:
            if (account := ACCOUNT.get()) is not None:
                account.begin()
            result = call()
        else:
            result = await SLOTS.run(context.user_id, call)
        if inspect.isawaitable(result):
            result = await result
        self._check(result)
        return result

    def _check(self, result: object) -> None:
        """Refuse what JSON cannot say, and what is not what the annotation promises."""
        said = plain(result)
        if self.output_schema is None:
            return
        returns = _signature.settings_of(self.function).returns
        promised = _signature.Signature(returns.target, {"return": replace(returns, required=True)})
        _, misfits = _signature.fit(promised, {"return": said}, word="result")
        if misfits:
            where = _signature.dotted(misfits[0].path)
            raise TypeError(f"{self.name} broke its own schema, {where}: {misfits[0].why}")


def as_tool(thing: Tool | Callable[..., object], *, name: str | None = None) -> Tool:
    """The tool that *thing* is: a `Tool` itself, or a typed function (which counts as destructive)."""
    if isinstance(thing, Tool):
        return thing
    if inspect.isclass(thing) or not callable(thing):
        raise TypeError(f"a tool is a Tool or a typed function, not {thing!r}")
    return FunctionTool(thing, name=name)


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    read_only: bool = False,
    destructive: bool | None = None,
    idempotent: bool = False,
    timeout: float | None = 30.0,
    run_in_thread: bool = True,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    read_only: bool = False,
    destructive: bool | None = None,
    idempotent: bool = False,
    timeout: float | None = 30.0,
    run_in_thread: bool = True,
) -> Any:
    """
    Make a typed function a tool, and say what it does to the world.

    *destructive* None means: unless *read_only*. *timeout* is in seconds. With ``run_in_thread=False``
    a sync function runs on the event loop (for libraries that must stay in one thread).
    """
    make = functools.partial(
        FunctionTool[..., Any],
        name=name,
        read_only=read_only,
        destructive=destructive,
        idempotent=idempotent,
        timeout=timeout,
        run_in_thread=run_in_thread,
    )
    return make if function is None else make(function)


def adopt(target: object) -> Tool | None:
    """Wrap a typed function; None for anything else, and for a function that says it makes a `Tool`."""
    if not _is_function(target):
        return None
    # With Tool among the injectable types, its name means something even if imported for type checkers only.
    made = _signature.settings_of(target, (Tool,)).returns.annotation
    if inspect.isclass(made) and issubclass(made, Tool):
        return None
    return FunctionTool(target)


def _is_function(target: object) -> TypeGuard[Callable[..., object]]:
    return inspect.isroutine(target) or isinstance(target, functools.partial)


def _name_of(function: Callable[..., object]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)
