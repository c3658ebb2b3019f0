"""The pytest plugin that hotplug ships."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from hotplug.testing import plugin


class Item:
    """As much of a test as the plugin looks at."""

    def __init__(self, *keywords: str) -> None:
        self.keywords = set(keywords)
        self.marks: list[pytest.MarkDecorator] = []

    def add_marker(self, mark: pytest.MarkDecorator) -> None:
        self.marks.append(mark)


@pytest.mark.parametrize("real", [True, False])
def test_real_services_are_opted_into(real):
    """
    Tests marked real_services are skipped, with that reason, unless the option is given; others never.
    """
    items = [Item("real_services"), Item()]
    config = SimpleNamespace(getoption=lambda name: {"--real-services": real}[name])

    plugin.pytest_collection_modifyitems(config, items)

    skipped = [mark.kwargs["reason"] for item in items for mark in item.marks]
    assert skipped == ([] if real else ["needs --real-services"])
    assert not items[1].marks


def test_what_is_installed_can_be_imported(environment):
    """
    What the fixture installs is imported as from any site-packages.
    """
    environment.install("acme", files={"acme_trace.py": "x = 1"})
    import acme_trace

    assert acme_trace.x == 1
    assert str(environment.folder) in sys.path
