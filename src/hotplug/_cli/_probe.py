"""The child's side of an examination: the one place of the command line that runs plugin code unasked."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hotplug._config import Config
from hotplug._host._hooks import Hooks
from hotplug._host._survey import examine, survey
from hotplug._loader import traceback_of
from hotplug.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplug._records import PluginStatus

__all__ = ["answer", "run"]


def run(request: dict[str, Any]) -> None:
    """
    Answer *request* into its file, and end this process without waiting for what a plugin left running.

    Should plugin code hold the interpreter, the watchdog ends the process and says where it was.
    """
    with Path(request["trace"]).open("w", encoding="utf-8") as trace:
        faulthandler.dump_traceback_later(request["patience"], exit=True, file=trace)
        text = json.dumps(answer(request))
        faulthandler.cancel_dump_traceback_later()
    whole = Path(request["answer"])
    part = whole.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(whole)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def answer(request: dict[str, Any]) -> Any:
    """What is asked for, as plain data."""
    config = Config.parse(request["config"], source=request["source"], folder=request["folder"])
    policy = replace(config.plugins, disable=(*config.plugins.disable, *request["disable"]))
    host = replace(config.host, load_timeout=request["limit"])
    config = replace(config, plugins=policy, host=host)
    return TASKS[request["task"]](request["name"], config, request["path"])


def _examined(name: str, config: Config, path: list[str] | None) -> dict[str, Any]:
    if name.startswith("commands/"):
        return asdict(_command(name, config, path))
    status = examine(name, config, path=path)
    if status.state == "timed_out":
        status = replace(status, error=f"{status.error}\n{_where_it_waits(status)}")
    return asdict(status)


def _where_it_waits(status: PluginStatus) -> str:
    """The stacks of the threads that were left behind in the plugin."""
    # There is no public way to another thread's stack.
    frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    plugin = f"{status.record.kind}/{status.record.name}"
    stacks = (
        "".join(traceback.format_stack(frames[thread.ident]))
        for thread in threading.enumerate()
        if thread.name.startswith("hotplug ") and thread.name.endswith(plugin) and thread.ident in frames
    )
    return "it waits here:\n" + "\n".join(stacks)


def _command(name: str, config: Config, path: list[str] | None) -> PluginStatus:
    """The status of a verb from a distribution after its import."""
    from hotplug._cli._commands import load  # click is for commands

    status = next(status for status in survey(config, path=path).statuses if status.name == name)
    try:
        load(status.record, config.host.load_timeout)
    except PluginError as error:
        status = replace(status, reason=error.reason, remedy=error.remedy, error=traceback_of(error))
        return replace(status, state="timed_out" if isinstance(error, TimeoutError) else "failed")
    return replace(status, state="loaded")


def _kinds(_name: str, config: Config, path: list[str] | None) -> list[tuple[str, str]]:
    """Names and groups of the kinds that hooks contribute."""
    hooks = Hooks()
    for status in survey(config, path=path).statuses:
        if status.record.kind == "hooks":
            hooks.load(status, config.host.load_timeout)
    return [(kind.name, kind.group) for kind in hooks.kinds()]


TASKS: Final[dict[str, Callable[[str, Config, list[str] | None], Any]]] = {
    "examine": _examined,
    "kinds": _kinds,
}
