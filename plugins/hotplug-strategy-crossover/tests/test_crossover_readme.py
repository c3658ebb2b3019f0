"""What the README shows is what happens."""

from __future__ import annotations

from pathlib import Path

from readmes import run_example

README = Path(__file__).parents[1] / "README.md"


def test_the_example_prints_what_the_readme_says(capsys):
    """
    The example runs as it stands, and prints what stands below it.
    """
    printed = run_example(README)

    assert capsys.readouterr().out == printed
