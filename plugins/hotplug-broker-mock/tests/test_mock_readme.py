"""What the README shows is what happens."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from hotplug_broker_mock import CALLS, FAULTS, Habits, MockBroker, MockVenue, Rule, forget_venue
from readmes import run_example

FILE = Path(__file__).parents[1] / "README.md"
README = FILE.read_text(encoding="utf-8")


def test_the_example_prints_what_the_readme_says(capsys):
    """
    The example runs as it stands, and prints what stands below it.
    """
    printed = run_example(FILE)

    assert capsys.readouterr().out == printed


def test_the_configuration_is_one():
    """
    The settings of the configuration shown make a broker, by the ordinary conversion.
    """
    from hotplug._signature import convert

    [text] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    settings = tomllib.loads(text)["brokers"]["main"]["settings"]
    try:
        broker = MockBroker(**convert(MockBroker, settings))
        assert broker.environment == "live"
        assert broker.venue.habits.latency == (0.001, 0.005)
        assert [window.limit for window in broker.rate_windows] == [10]
    finally:
        forget_venue("shared")


def test_every_word_is_there():
    """
    Calls, faults, habits, settings, fields of rules and what a venue can do: each is in the README.
    """
    import inspect

    verbs = {name for name in vars(MockVenue) if not name.startswith("_")} - {"connect", "disconnect"}
    settings = set(inspect.signature(MockBroker).parameters) - {"broker_id"}
    habits = set(Habits.__dataclass_fields__)
    fields = set(Rule.__dataclass_fields__) - {"on"}

    missing = {
        word
        for word in {*CALLS, *FAULTS, *verbs, *settings, *habits, *fields}
        if not re.search(rf"\b{word}\b", README)
    }
    assert not missing
