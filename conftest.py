"""How the tests are run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PROCESSES = 3
"""Many tests wait for clocks and children: two cores have room for one more."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """All tests are shared by a few processes; what is named runs in this one, where debuggers work."""
    return PROCESSES if config.args_source is config.ArgsSource.TESTPATHS else 0
