"""The command line: what an operator sees of plugins, without a running application."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run ``hotplug`` with the arguments of this process, and end it with the exit code."""
    try:
        from hotplug._cli._app import run  # click and rich are for who runs the command line

        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
