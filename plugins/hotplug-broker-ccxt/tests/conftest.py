"""The loopback exchanges stand beside the tests, and one runs as a program too: they are plain modules."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
