"""A watcher, and somebody who waits for what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from contextlib import contextmanager
from pathlib import Path

from hotplug._watcher import Root, Sort, Watcher

LIMIT = 20.0


class Listener:
    """Remembers each call, and what *then* did with it."""

    def __init__(self, then: Callable[[frozenset[Hashable]], object] | None = None) -> None:
        self.calls: list[frozenset[Hashable]] = []
        self._then = then
        self._news = threading.Condition()

    def __call__(self, keys: frozenset[Hashable]) -> None:
        with self._news:
            self.calls.append(keys)
            self._news.notify_all()
        if self._then is not None:
            self._then(keys)

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; it is asked after every call, and now and then."""
        deadline = time.monotonic() + LIMIT
        while not condition():  # without the lock: it may ask the watcher, who may be about to call
            assert time.monotonic() < deadline, f"it never came to that; there were {self.calls}"
            with self._news:
                self._news.wait(0.01)

    def hears(self, key: Hashable, *, after: int = 0) -> None:
        """Wait until *key* was in a call, the first *after* of them not counted."""
        self.wait(lambda: any(key in keys for keys in self.calls[after:]))

    def count(self, key: Hashable) -> int:
        return sum(key in keys for keys in self.calls)


class Watching:
    """A running watcher of *roots* that has armed all of them."""

    def __init__(self, *roots: Root, then=None, **pace: float) -> None:
        self.heard = Listener(then)
        self.watcher = Watcher(self.heard, **pace)
        self.watcher.follow(roots)
        self.watcher.start()
        self.is_armed()

    def is_armed(self) -> None:
        """Wait until every root is listened to or polled."""
        self.watcher.look_now()

    def then_touch(self, path: Path, key: Hashable) -> None:
        """Change *path* and wait until that is heard: so is all that happened before."""
        count = len(self.heard.calls)
        path.write_text(f"{time.monotonic_ns()}\n")
        self.heard.hears(key, after=count)


@contextmanager
def watching(*roots: Root, then=None, **pace: float):
    """Watch within the block."""
    there = Watching(*roots, then=then, **pace)
    try:
        yield there
    finally:
        there.watcher.close()


def tree(path: Path, key: Hashable = "code") -> Root:
    return Root(str(path), Sort.TREE, key)


def site(path: Path, key: Hashable = "site") -> Root:
    return Root(str(path), Sort.FOLDER, key)


def file(path: Path, key: Hashable = "file") -> Root:
    return Root(str(path), Sort.FILE, key)


def move(path: Path, to: Path) -> None:
    """Rename *path*, over what may be there."""
    path.replace(to)


def write(path: Path, text: str = "x = 1\n") -> Path:
    """Write *path*, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
