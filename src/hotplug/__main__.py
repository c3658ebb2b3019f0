"""``python -m hotplug`` is the command line."""

from __future__ import annotations

from hotplug._cli import main

if __name__ == "__main__":
    main()
