"""What an admin may do from afar. Each is journalled, before and after."""

from __future__ import annotations

import asyncio
import glob
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.responses import Response

from hotplug.errors import BrokerError, HotplugError, NotRegisteredError
from hotplug.registry import run_in_thread
from hotplug_web._frames import encoded
from hotplug_web._principal import ADMIN
from hotplug_web._refusals import Refusal
from hotplug_web._rows import changes_facts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request

    from hotplug import Changes, Host, PluginStatus
    from hotplug_web._guests import Guest, Guests
    from hotplug_web._journal import Journal
    from hotplug_web._limits import Buckets
    from hotplug_web._rows import View

__all__ = ["Actions", "body_of"]

Facts = dict[str, Any]
TEXT: Final = 500  # characters of anything that is asked with: all of it is journalled, and shown to others
LOST: Final = "this holds until the configuration changes or the process ends; to keep it: "
_log = logging.getLogger("hotplug.web")


class Actions:
    """The verbs of the dashboard, one at a time, but for the brake: that waits for nobody."""

    def __init__(
        self, host: Host, guests: Guests, journal: Journal, view: View, calls: Buckets, longest: int
    ) -> None:
        self._host: Final = host
        self._guests: Final = guests
        self._journal: Final = journal
        self._view: Final = view
        self._calls: Final = calls
        self._longest: Final = longest
        self._turn = asyncio.Lock()

    async def reload(self, request: Request) -> Response:
        """``{"distribution": name}``: its next generation, now."""
        guest, asked = await self._asked(request, distribution=str)

        async def act() -> Facts:
            known = {status.record.distribution for status in self._host.plugins}
            if asked["distribution"] not in known:
                raise Refusal(404, f"no plugin comes from {asked['distribution']!r}")
            return _came_of(await self._host.areload(asked["distribution"]))

        return await self._journalled(guest, "reload", asked, act)

    async def disable(self, request: Request) -> Response:
        """``{"plugin": "kind/key"}``: it is withdrawn and closed, and not imported again."""
        guest, asked = await self._asked(request, plugin=str)

        async def act() -> Facts:
            name = _name_of(self._standing(asked["plugin"]))
            disabled = (*self._host.config.plugins.disable, glob.escape(name))
            keep = LOST + f"put {name!r} into [plugins] disable"
            return {**_came_of(await self._disable_exactly(disabled)), "keep": keep}

        return await self._journalled(guest, "disable", asked, act)

    async def enable(self, request: Request) -> Response:
        """``{"plugin": "kind/key"}``: what was disabled by its own name may be imported again."""
        guest, asked = await self._asked(request, plugin=str)

        async def act() -> Facts:
            name = _name_of(self._standing(asked["plugin"]))
            before = self._host.config.plugins
            disabled = tuple(each for each in before.disable if each not in {name, glob.escape(name)})
            kind, _, plain = name.partition("/")
            if replace(before, disable=disabled).disabled(kind, plain):
                raise Refusal(409, f"{name!r} is disabled by a pattern in the configuration: change it there")
            keep = LOST + f"take {name!r} out of [plugins] disable"
            return {**_came_of(await self._disable_exactly(disabled)), "keep": keep}

        return await self._journalled(guest, "enable", asked, act)

    async def halt(self, request: Request) -> Response:
        """``{"reason": …, "key"?, "user"?, "cancel"?}``: let nobody trade there, and cancel open orders."""
        guest, asked = await self._asked(
            request, reason=str, key=str, user=str, cancel=bool, required="reason"
        )

        async def act() -> Facts:
            results = await self._host.brokers.ahalt(**asked)
            errors = [str(each) for each in results if isinstance(each, BrokerError)]
            return {"orders": len(results), "errors": errors, "halts": self._view.halts()}

        return await self._journalled(guest, "halt", asked, act, brake=True)

    async def resume(self, request: Request) -> Response:
        """``{"reason": …, "key"?, "user"?}``: end a halt."""
        guest, asked = await self._asked(request, reason=str, key=str, user=str, required="reason")

        async def act() -> Facts:
            await self._host.brokers.aresume(**asked)
            return {"halts": self._view.halts()}

        return await self._journalled(guest, "resume", asked, act)

    # -- pieces ------------------------------------------------------------------------------------

    async def _asked(
        self, request: Request, *, required: str | None = None, **types: type
    ) -> tuple[Guest, Facts]:
        """Who asks, and what exactly; `Refusal`."""
        guest = await self._guests.admit(request, ADMIN)
        if not self._calls.take(guest.principal.user):
            raise Refusal(429, "too many calls")
        asked = {
            name: value
            for name, value in (await body_of(request, self._longest)).items()
            if value is not None
        }
        needed = set(types) if required is None else {required}
        for name in asked.keys() - types.keys():
            raise Refusal(400, f"unknown {name!r}: there are {', '.join(types)}")
        for name in sorted(needed - asked.keys()):
            raise Refusal(400, f"{name!r} is missing")
        for name, value in asked.items():
            if type(value) is not types[name] or (isinstance(value, str) and not value.strip()):
                raise Refusal(400, f"{name!r} must be a {types[name].__name__} that is not empty")
            if isinstance(value, str) and (len(value) > TEXT or not _is_whole(value)):
                raise Refusal(400, f"{name!r} must be text of at most {TEXT} characters")
        return guest, asked

    async def _journalled(
        self,
        guest: Guest,
        what: str,
        asked: Facts,
        act: Callable[[], Awaitable[Facts]],
        *,
        brake: bool = False,
    ) -> Response:
        number = await self._begin(guest, what, asked, brake=brake)
        self._view.note("action", f"{what} by {guest.principal.user}: {_in_short(asked)}", outcome="asked")
        try:
            facts, status = await self._turned(act, brake=brake), 200
            outcome = "failed" if facts.get("failed") or facts.get("errors") else "done"
        except Refusal as refusal:
            facts, status, outcome = {"error": refusal.why}, refusal.status, "refused"
        except (HotplugError, ValueError, RuntimeError, OSError) as error:
            status = 404 if isinstance(error, NotRegisteredError) else 409
            facts, outcome = {"error": str(error)}, "failed"
        except Exception:  # noqa: BLE001 - hooks and plugins raise anything, and the journal has to say so
            _log.exception("%s by user %r failed", what, guest.principal.user)
            facts, status, outcome = {"error": "it failed: the log of the server says how"}, 500, "failed"
        except BaseException:
            await asyncio.shield(self._end(number, "interrupted", {}))
            raise
        self._view.note("action", f"{what} by {guest.principal.user}: {outcome}", outcome=outcome)
        is_kept = await self._end(number, outcome, facts)
        answer = encoded({"outcome": outcome, "journalled": is_kept, **facts})
        return Response(answer, status, media_type="application/json")

    async def _turned(self, act: Callable[[], Awaitable[Facts]], *, brake: bool) -> Facts:
        if brake:
            return await act()
        async with self._turn:
            return await act()

    async def _begin(self, guest: Guest, what: str, asked: Facts, *, brake: bool) -> str:
        try:
            return await run_in_thread(
                self._journal.asked, guest.principal.user, guest.address, what, {"asked": asked}
            )
        except OSError as error:
            _log.error("the journal of actions cannot be written: %s", error)
            if not brake:  # that nobody wrote it down is no reason to let trade go on
                raise Refusal(503, "the journal of actions cannot be written: nothing was done") from error
            return ""

    async def _end(self, number: str, outcome: str, facts: Facts) -> bool:
        try:
            await run_in_thread(self._journal.done, number, outcome, _plain(facts))
        except OSError as error:
            _log.error("the journal of actions cannot be written: %s", error)
            return False
        return bool(number)

    def _standing(self, name: str) -> PluginStatus:
        found = next((status for status in self._host.plugins if status.name == name), None)
        if found is None:
            raise Refusal(404, f"there is no plugin {name!r}")
        return found

    async def _disable_exactly(self, names: Iterable[str]) -> Changes:
        config = self._host.config
        policy = replace(config.plugins, disable=tuple(dict.fromkeys(names)))
        return await self._host.aapply(replace(config, plugins=policy))


async def body_of(request: Request, longest: int) -> Facts:
    """The JSON object that *request* brings; `Refusal`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise Refusal(415, "send application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > longest:
            raise Refusal(413, f"at most {longest} bytes are taken")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal(400, "send a JSON object")
    return cast("Facts", found)


def _name_of(status: PluginStatus) -> str:
    """What a plugin is called where it is disabled: not by its key."""
    return f"{status.record.kind}/{status.record.name}"


def _came_of(changes: Changes) -> Facts:
    return cast("Facts", changes_facts(changes))


def _is_whole(text: str) -> bool:
    """Whether *text* is made of whole characters: half ones (lone surrogates) cannot be written down."""
    return text.isascii() or text.encode("utf-8", "replace").decode() == text


def _in_short(asked: Facts) -> str:
    return ", ".join(f"{name} {value}" for name, value in asked.items())


def _plain(facts: Facts) -> Facts:
    return cast("Facts", json.loads(json.dumps(facts, default=str)))
