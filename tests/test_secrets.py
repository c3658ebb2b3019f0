"""Secrets stay out of what is told of a failure."""

from __future__ import annotations

from hotplug._host._secrets import hide_secrets, without_secrets
from hotplug._signature import Secret
from hotplug.errors import PluginError


def test_every_secret_is_masked_wherever_it_stands(monkeypatch, tmp_path):
    """
    Secrets in nested tables and lists are masked; what cannot be read, or is empty, masks nothing.
    """
    monkeypatch.setenv("TESTS_ONE", "alpha")
    monkeypatch.setenv("TESTS_EMPTY", "")
    monkeypatch.delenv("TESTS_GONE", raising=False)
    file = tmp_path / "token"
    file.write_text("omega\n")
    settings = {
        "plain": 5,
        "one": Secret("env", "TESTS_ONE"),
        "more": [
            {"deep": Secret("file", str(file))},
            Secret("env", "TESTS_EMPTY"),
            Secret("env", "TESTS_GONE"),
        ],
    }

    assert without_secrets("alpha and omega, 5", settings) == "*** and ***, 5"


def test_an_error_forgets_its_secrets(monkeypatch):
    """
    The text of an error and its arguments are masked in place.
    """
    monkeypatch.setenv("TESTS_ONE", "alpha")
    error = PluginError("bad token alpha")
    error.args = ("bad token alpha", 3)

    hide_secrets(error, {"token": Secret("env", "TESTS_ONE")})

    assert str(error) == "bad token ***"
    assert error.args == ("bad token ***", 3)
