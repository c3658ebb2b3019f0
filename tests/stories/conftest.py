"""What stories with installers begin with."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def pattern(tmp_path_factory):
    """A virtual environment with nothing in it, made once."""
    folder = tmp_path_factory.mktemp("pattern") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder
