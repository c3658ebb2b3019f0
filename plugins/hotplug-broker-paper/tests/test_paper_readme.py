"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

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
