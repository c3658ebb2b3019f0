"""What the README shows is what happens."""

from __future__ import annotations

import inspect
from pathlib import Path

from hotplug_broker_grpc import GrpcBroker
from readmes import run_example, settings_under

README = Path(__file__).parents[1] / "README.md"


def test_the_example_prints_what_the_readme_says(capsys):
    """
    The example runs as it stands, and prints what stands below it.
    """
    printed = run_example(README)

    assert capsys.readouterr().out == printed


def test_every_setting_is_in_the_table():
    """
    The table has the settings that the broker takes, in their order, and no others.
    """
    taken = [name for name in inspect.signature(GrpcBroker).parameters if name != "broker_id"]

    assert settings_under("The gateway", README) == sorted(taken)
