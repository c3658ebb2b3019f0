"""Secrets stay out of what is told of a failure."""

from __future__ import annotations

import asyncio

import pytest

import hotplug
from hotplug._host._secrets import hide_secrets, without_secrets
from hotplug._signature import Secret
from hotplug.errors import PluginError, ToolError


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


MADE = """
from hotplug import Tool, ToolError
class Ask(Tool):
    name, description, input_schema = "ask", "Ask.", {"type": "object", "properties": {}}
    read_only, destructive = True, False
    def __init__(self, token: str = "nothing"): self._token = token
    async def call(self, arguments, context): raise ToolError(f"the venue refused {self._token}", 3)
"""


@pytest.mark.parametrize(
    ("config", "said"), [("", "nothing"), ("[tools.ask.settings]\ntoken = {env='ONE'}", "***")]
)
def test_what_a_tool_says_went_wrong_is_without_its_secrets(plugin, environment, monkeypatch, config, said):
    """
    A tool may put into words what went wrong, and not the secret that the configuration gave it.
    """
    monkeypatch.setenv("ONE", "alpha")
    plugin(MADE, name="ask", value="Ask")
    ada = hotplug.UserExecutionContext("ada")
    host = hotplug.Host(hotplug.Config.parse(config), path=environment.path)
    with host, pytest.raises(ToolError) as caught:
        asyncio.run(host.tools.call("ask", {}, ada))
    assert caught.value.args == (f"the venue refused {said}", 3)
