"""What ``hotplug serve`` says when it begins."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    import hotplug
    from hotplug import PluginStatus

__all__ = ["said_of", "say"]

FINE: Final = frozenset({"discovered", "loaded", "disabled"})
WIDTH: Final = 12


def said_of(host: hotplug.Host, address: str, link: str | None, *, demo: bool = False) -> str:
    """What was found, where the page is, how it ends."""
    return "\n".join(map(_safe, _lines(host, address, link, demo=demo)))


def say(text: str, to: TextIO | None = None) -> None:
    """Tell who started it, if that one still listens; else nobody, from now on."""
    stream: TextIO = to if to is not None else sys.stdout
    try:
        print(text, file=stream, flush=True)
    except UnicodeEncodeError:
        say(text.encode("ascii", "backslashreplace").decode(), stream)
    except OSError:
        # What could not be written would be tried once more at the end, and fail there.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _lines(host: hotplug.Host, address: str, link: str | None, *, demo: bool) -> Iterator[str]:
    statuses = host.plugins
    wrong = [status for status in statuses if status.state not in FINE]
    need = f", {len(wrong)} of them need{'s' if len(wrong) == 1 else ''} attention" if wrong else ""
    yield f"hotplug serves {len(statuses)} plugin{'' if len(statuses) == 1 else 's'}{need}"
    for kind in dict.fromkeys(status.record.kind for status in statuses):
        keys = (_key(status) for status in statuses if status.record.kind == kind)
        yield f"  {kind:{WIDTH}}{', '.join(keys)}"
    for status in wrong:
        yield f"  ! {status.record}: {status.state}, {status.reason}: {status.remedy}"
    for problem in host.problems:
        yield f"  ! {problem}"
    yield ""
    if link is not None:
        yield f"  open        {link}"
        yield "              (works once; for another browser, the next link is shown here)"
    else:
        yield f"  open        {address} and log in with a token of the token file"
        yield "              (this is plain HTTP: let something that speaks TLS stand before it)"
    if demo:
        yield "  demo        strategies trade on paper, an agent answers (leave it out: --no-demo)"
    yield "  stop        Ctrl-C"


def _key(status: PluginStatus) -> str:
    return status.key if status.state in FINE else f"{status.key} ({status.state})"


def _safe(line: str) -> str:
    """*line* without anything that a terminal would obey."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)
