"""A line to a server, and what must not be left of it."""

from __future__ import annotations

import threading

import pytest

from mcp_clients import SOON
from mcp_lines import Line


@pytest.fixture
def no_thread_left():
    """No thread is left when the test is over."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(SOON)
        assert not thread.is_alive(), thread


@pytest.fixture
def line(no_thread_left):
    """The client's ends of two pipes."""
    line = Line()
    yield line
    line.close()
