"""Secrets are references: read at use, shown nowhere."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from hotplug._signature import Secret, masked, reveal
from hotplug.errors import SettingsError

VALUE = "hunter2-not-to-be-seen"


@pytest.fixture
def token(monkeypatch):
    """A secret whose value is there to be read, and to be leaked."""
    monkeypatch.setenv("ACME_TOKEN", VALUE)
    return Secret("env", "ACME_TOKEN")


def test_reads_the_environment_at_use(token, monkeypatch):
    """
    What the variable holds when asked for is the secret, however often it changed before.
    """
    assert token.reveal() == VALUE

    monkeypatch.setenv("ACME_TOKEN", "rotated")

    assert token.reveal() == "rotated"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b"s3cret\n\n", "s3cret\n"),
        (b" s3\r\ncret ", " s3\r\ncret "),
        (b"\n", ""),
        ("gr\u00fcn\n".encode(), "gr\u00fcn"),
    ],
)
def test_reads_files(tmp_path, content, secret):
    """
    A file's secret is its text without one line end at its end; a relative name starts at the folder given.
    """
    (tmp_path / "token").write_bytes(content)

    assert (
        secret
        == Secret("file", "token", tmp_path).reveal()
        == Secret("file", str(tmp_path / "token")).reveal()
    )


def test_missing_secrets_are_named(tmp_path, monkeypatch):
    """
    What cannot be read is named by its reference, with what would help.
    """
    monkeypatch.delenv("ACME_TOKEN", raising=False)

    with pytest.raises(SettingsError, match=r"env ACME_TOKEN is not set .*environment variable ACME_TOKEN"):
        Secret("env", "ACME_TOKEN").reveal()
    with pytest.raises(SettingsError, match=r"file none cannot be read: No such file.*make .*none a file"):
        Secret("file", "none", tmp_path).reveal()


def test_undecodable_file_keeps_its_bytes_to_itself(tmp_path):
    """
    A file that is not text is refused without any of its bytes in the error, its causes included.
    """
    (tmp_path / "token").write_bytes(b"hunter\xff2")

    with pytest.raises(SettingsError, match="file token is not UTF-8 text") as caught:
        Secret("file", "token", tmp_path).reveal()

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_shows_stars(token):
    """
    Neither its text, nor the text of what contains it, nor a format of it shows more than ``***``.
    """
    nested = {"token": token, "more": [token, {"deep": (token,)}]}

    assert "***" == str(token) == repr(token) == f"{token}" == json.loads(json.dumps(token, default=str))
    assert f"{token:>5}" == "  ***"
    assert "{'token': ***, 'more': [***, {'deep': (***,)}]}" == str(nested) == f"{nested}"


def test_masked_is_plain(token):
    """
    For display, settings become plain dicts and lists with stars, which JSON can say.
    """
    settings = {"token": token, "nested": {"keys": (token, "open")}, "cash": 1}

    assert json.dumps(masked(settings)) == '{"token": "***", "nested": {"keys": ["***", "open"]}, "cash": 1}'


def test_reveal_is_deep_and_fresh(token):
    """
    For construction, every reference becomes its secret, and nothing of the settings is shared.
    """
    settings = {"token": token, "nested": {"keys": [token, "open"]}}

    revealed = reveal(settings)

    assert revealed == {"token": VALUE, "nested": {"keys": [VALUE, "open"]}}
    assert revealed["nested"] is not settings["nested"]
    assert token is settings["nested"]["keys"][0]


def test_equality_is_of_references(token, tmp_path):
    """
    Two secrets are equal if they refer to the same place, whatever stands there.
    """
    assert token == Secret("env", "ACME_TOKEN")
    assert hash(token) == hash(Secret("env", "ACME_TOKEN"))
    assert len({Secret("env", "NOT_SET_ANYWHERE"), Secret("env", "NOT_SET_ANYWHERE")}) == 1
    assert token != Secret("file", "ACME_TOKEN")
    assert Secret("file", "a", tmp_path) != Secret("file", "a", tmp_path / "b")
    assert token != VALUE


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_hold_the_reference(token, copied, tmp_path):
    """
    Copies and pickles are equal references; the value is in neither.
    """
    on_file = Secret("file", "token", tmp_path)

    assert (token, on_file) == (copied(token), copied(on_file))
    assert VALUE.encode() not in pickle.dumps(token)


def test_says_what_it_refers_to(token):
    """
    Kind, name and reference may be shown, for errors that help.
    """
    assert (token.kind, token.name, token.reference) == ("env", "ACME_TOKEN", "env ACME_TOKEN")
