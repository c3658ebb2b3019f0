"""Errors: facts in attributes, help in the text, the built-in classes that callers catch."""

from __future__ import annotations

import pytest

from hotplug import errors
from hotplug._records import PluginRecord

TAKEN = (
    "things already has 'one': it belongs to the application, so acme cannot have it "
    "(unregister or replace it, or use another key)"
)
RECORD = PluginRecord("things", "hotplug.things", "one", "m:One", "acme", "1.0")


@pytest.mark.parametrize(
    ("error", "builtin", "text"),
    [
        (errors.InvalidContextError("who?"), ValueError, "who?"),
        (
            errors.ContractError("things", "one", "is no Thing", ["do: missing"]),
            ValueError,
            "things/one: is no Thing\n  - do: missing",
        ),
        (
            errors.DuplicateKeyError("things", "one", "the application", "acme"),
            ValueError,
            TAKEN,
        ),
        (
            errors.NotRegisteredError("things", "onne", ["one", "two"]),
            KeyError,
            "things has no 'onne' (did you mean 'one'?)",
        ),
        (
            errors.NotRegisteredError("things", 5, [], "it is closed"),
            KeyError,
            "things has no 5 (it is closed)",
        ),
        (
            errors.ContextRequiredError("views", "one"),
            KeyError,
            "views/one is made for each user: pass a UserExecutionContext, as in get('one', context)",
        ),
        (
            errors.FrozenRegistryError("things", "register 'one'"),
            RuntimeError,
            "things is frozen: cannot register 'one'",
        ),
        (errors.CircularFactoryError(["a", "b", "a"]), RuntimeError, "circular factories: a -> b -> a"),
        (
            errors.StartError([("things/one", "broken")]),
            errors.HostError,
            "the host cannot start, required plugins do not work:\n  - things/one: broken",
        ),
        (
            errors.PluginError("broke", RECORD, remedy="mend it"),
            errors.HotplugError,
            "things/one from acme 1.0: broke (mend it)",
        ),
        (
            errors.MissingDependencyError("numpy", RECORD),
            ImportError,
            "things/one from acme 1.0: needs the module 'numpy', which is not installed",
        ),
        (
            errors.PluginContractError("is no Thing", RECORD, ["do: missing"]),
            errors.ContractError,
            "things/one from acme 1.0: is no Thing\n  - do: missing",
        ),
        (
            errors.SettingsError("must be int", RECORD, path="width"),
            ValueError,
            "things/one from acme 1.0: settings.width: must be int",
        ),
        (
            errors.PluginTimeoutError("import", 0.5, RECORD, thread="t"),
            TimeoutError,
            "things/one from acme 1.0: import did not finish within 0.5 s",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_can_be_read_and_caught(error, builtin, text):
    """
    Each says what was asked, who is to blame and what would help, and is of the built-in class it refines.
    """
    assert isinstance(error, errors.HotplugError)
    assert isinstance(error, builtin)
    assert str(error) == text


def test_the_tree_on_top_is_the_tree():
    """
    Every public error is a `HotplugError`, has a docstring and stands in the tree that the module shows.
    """
    public = [getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)]
    found = [error for error in public if issubclass(error, BaseException)]

    assert all(issubclass(error, errors.HotplugError) for error in found)
    assert all(error.__doc__ for error in found)
    assert [error.__name__ for error in found if error.__name__ not in (errors.__doc__ or "")] == []


def test_close_matches():
    """
    What was probably meant, else what there is, a few of it, else nothing.
    """
    assert errors.close_match("papr", ["paper", "alpaca"]) == "did you mean 'paper'?"
    assert errors.close_match("x", ["paper", "alpaca"]) == "known: alpaca, paper"
    assert errors.close_match("x", []) == "known: none"
    assert errors.close_match("x", [f"name{i}" for i in range(9)]).endswith("name7, …")
