"""What tests of threads share: calls side by side, and who waits for whom."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

DEADLINE = 20.0


def in_threads(*calls: Callable[[], object]) -> list[object]:
    """What the calls return or raise, each made in a thread of its own; none may outlast the deadline."""
    outcomes: list[object] = [None] * len(calls)

    def run(place: int, call: Callable[[], object]) -> None:
        try:
            outcomes[place] = call()
        except BaseException as error:
            outcomes[place] = error

    threads = [
        threading.Thread(target=run, args=(place, call), daemon=True) for place, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive(), "a thread hangs"
    return outcomes


def asleep(thread: threading.Thread) -> bool:
    """Whether the thread waits for an attempt of another."""
    frame = sys._current_frames().get(thread.ident)
    while frame is not None:
        if frame.f_code.co_name == "wait" and frame.f_code.co_filename.endswith("_making.py"):
            return True
        frame = frame.f_back
    return False


def until_it_stands(thread: threading.Thread) -> None:
    """Wait until the thread waits for something, or has ended: it is seen at one place many times."""
    deadline = time.monotonic() + DEADLINE
    seen, place = 0, None
    while thread.is_alive() and seen < 1000:
        frame = sys._current_frames().get(thread.ident)
        now = None if frame is None else (id(frame), frame.f_lasti)
        seen, place = (seen + 1, place) if now == place else (0, now)
        time.sleep(0)
        assert time.monotonic() < deadline, "a thread runs on and on"
