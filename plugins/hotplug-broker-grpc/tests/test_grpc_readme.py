"""What the README shows is what happens."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from hotplug_broker_grpc import GrpcBroker

README = Path(__file__).parents[1] / "README.md"


def test_the_example_prints_what_the_readme_says(capsys):
    """
    The example runs as it stands, and prints what stands below it.
    """
    text = README.read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [printed] = re.findall(r"prints\n\n```\n(.*?)```", text, re.DOTALL)

    exec(compile(example, str(README), "exec"), {"__name__": "__main__"})

    assert capsys.readouterr().out == printed


def test_every_setting_is_in_the_table():
    """
    The table has the settings that the broker takes, in their order, and no others.
    """
    text = README.read_text(encoding="utf-8").partition("## The gateway")[2].partition("\n## ")[0]
    told = [
        name
        for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    taken = [name for name in inspect.signature(GrpcBroker).parameters if name != "broker_id"]

    assert sorted(told) == sorted(taken)
