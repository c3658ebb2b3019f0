"""The pytest plugin: one option, one marker, one fixture. It imports nothing until they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hotplug.testing import Environment

__all__ = ["environment"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer ``--real-services``."""
    parser.getgroup("hotplug").addoption(
        "--real-services",
        action="store_true",
        default=False,
        help="also run tests marked real_services: real installers, processes, servers",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line("markers", "real_services: runs only with --real-services")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``--real-services``, tests marked so are skipped with that reason."""
    if config.getoption("--real-services"):
        return
    skip = pytest.mark.skip(reason="needs --real-services")
    for item in items:
        if "real_services" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    """A pretend site-packages on ``sys.path``; what was imported from it is forgotten afterwards."""
    import importlib
    import sys

    from hotplug.testing import Environment

    world = Environment(tmp_path / "site")
    sys.path.insert(0, str(world.folder))
    importlib.invalidate_caches()
    before = set(sys.modules)
    try:
        yield world
    finally:
        sys.path.remove(str(world.folder))
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None) or ""
            if origin.startswith(str(world.folder)):
                del sys.modules[name]
        importlib.invalidate_caches()
