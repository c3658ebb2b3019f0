"""A verb of the command line that goes on until a signal ends it, and somebody who reads along meanwhile."""

from __future__ import annotations

import io
import json
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

LIMIT = 20.0


class Terminal(io.StringIO):
    """What was written so far can be waited for; a pipe as far as others can tell."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._news = threading.Condition()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def write(self, text: str) -> int:
        text.encode(self._encoding)
        with self._news:
            count = super().write(text)
            self._news.notify_all()
        return count

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    def wait_for(self, *parts: str, after: int = 0) -> str:
        """The first whole line with all *parts*, *after* so many lines; waits until there is one."""
        deadline = time.monotonic() + LIMIT
        with self._news:
            while True:
                whole = self.getvalue().splitlines(keepends=True)[after:]
                found = next((line for line in whole if all(part in line for part in parts)), "")
                if found.endswith("\n"):
                    return found.rstrip("\n")
                assert time.monotonic() < deadline, f"no line with {parts} in:\n{self.getvalue()}"
                self._news.wait(0.05)

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def run_until_signalled(
    arguments: list[str], story: Callable[[], object], *, number: int = signal.SIGINT
) -> object:
    """
    Run the command line on this, the main thread, while *story* goes on beside it; then send the signal.

    The exit code; what the story raises is raised here.
    """
    from hotplug._cli._app import app

    failures: list[BaseException] = []
    before = signal.getsignal(number)
    main = threading.main_thread().ident
    assert main is not None

    def tell() -> None:
        try:
            story()
        except BaseException as error:
            failures.append(error)
        finally:
            if signal.getsignal(number) is not before:  # else it has ended by itself
                signal.pthread_kill(main, number)

    beside = threading.Thread(target=tell, name="story", daemon=True)
    beside.start()
    try:
        return app.main(arguments, standalone_mode=False)
    finally:
        beside.join(LIMIT)
        assert signal.getsignal(number) is before, "the handlers are not as they were"
        if failures:
            raise failures[0]
