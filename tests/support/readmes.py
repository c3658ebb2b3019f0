"""What tests of READMEs share: the example is run, and the table of settings is read."""

from __future__ import annotations

import re
from pathlib import Path


def run_example(readme: Path) -> str:
    """Run the one example in Python as it stands; what the README says that it prints."""
    text = readme.read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [printed] = re.findall(r"prints\n\n```\n(.*?)```", text, re.DOTALL)
    exec(compile(example, str(readme), "exec"), {"__name__": "__main__"})
    return printed


def settings_under(heading: str, readme: Path) -> list[str]:
    """The names in the first column of the table under *heading*, sorted."""
    text = readme.read_text(encoding="utf-8").partition(f"## {heading}")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return sorted(name for row in rows for name in re.findall(r"`(\w+)`", row))
