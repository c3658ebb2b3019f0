"""Tokens, principals, and the file that names them."""

from __future__ import annotations

import hashlib
import hmac
import os

import pytest

from hotplug.errors import AuthenticationError, ConfigError, Outcome, PermissionDenied
from hotplug_broker_grpc import _principals
from hotplug_broker_grpc._principals import Principal, Principals, Role, bearer

ADA = Principal("ada", frozenset({"A1", "A2"}), Role.TRADE)
FILE = """
[[principal]]
user = "ada"
token = "ada's secret"
accounts = ["A1"]

[[principal]]
user = "watcher"
token_sha256 = "{digest}"
accounts = "all"
role = "read"
""".format(digest=hashlib.sha256(b"watch").hexdigest())


@pytest.fixture
def token_file(tmp_path):
    """Writes the file, readable by nobody else."""

    def write(text, mode=0o600):
        # A new file each time, as editors and secret managers write them: never a half-written one.
        fresh = tmp_path / "fresh"
        fresh.write_text(text)
        fresh.chmod(mode)
        return fresh.replace(tmp_path / "tokens.toml")

    return write


def test_a_token_stands_for_its_principal():
    """
    Each its own; another is nobody's.
    """
    principals = Principals({"secret": ADA, "other": Principal("bob", None)})

    assert principals.of("secret") is ADA
    assert principals.of("other").user == "bob"
    with pytest.raises(AuthenticationError) as caught:
        principals.of("secre")
    assert caught.value.outcome is Outcome.NOT_SENT


def test_every_token_is_compared_in_constant_time(monkeypatch):
    """
    Whichever it is, all of them are compared, by ``hmac.compare_digest``, and only as hashes.
    """
    compared = []

    def compare(known, given):
        compared.append((known, given))
        return hmac.compare_digest(known, given)

    monkeypatch.setattr(_principals, "hmac", type("spy", (), {"compare_digest": staticmethod(compare)}))
    principals = Principals({"first": ADA, "second": ADA, "third": ADA})

    principals.of("first")

    assert len(compared) == 3
    assert all(len(known) == len(given) == 32 for known, given in compared)


def test_an_empty_token_opens_nothing():
    """
    Neither as a token that is set nor as one that comes.
    """
    with pytest.raises(ConfigError, match="empty"):
        Principals({"": ADA})
    with pytest.raises(AuthenticationError):
        Principals({"secret": ADA}).of("")
    with pytest.raises(ConfigError, match="user"):
        Principal("", None)


def test_accounts_only_narrow():
    """
    Who asks for some of its accounts gets these; who asks for more gets nothing.
    """
    assert ADA.narrowed(frozenset()) == {"A1", "A2"}
    assert ADA.narrowed(frozenset({"A2"})) == {"A2"}
    assert Principal("root", None).narrowed(frozenset({"B"})) == {"B"}
    assert Principal("root", None).narrowed(frozenset()) is None
    with pytest.raises(PermissionDenied, match="not granted to 'ada': 'B1'") as caught:
        ADA.narrowed(frozenset({"A1", "B1"}))
    assert caught.value.outcome is Outcome.NOT_SENT


@pytest.mark.parametrize(
    ("held", "token"),
    [({}, None), ({"authorization": "Bearer abc"}, "abc"), ({"authorization": "Bearer "}, "")],
)
def test_the_token_is_that_of_the_header(held, token):
    """
    ``authorization: Bearer TOKEN``, or none.
    """
    assert bearer(held) == token


@pytest.mark.parametrize("held", ["Basic abc", "abc", b"Bearer abc"])
def test_other_credentials_are_refused(held):
    """
    They are not taken for no credentials.
    """
    with pytest.raises(AuthenticationError, match="Bearer"):
        bearer({"authorization": held})


# -- the file --------------------------------------------------------------------------------------


def test_a_file_grants(token_file):
    """
    Tokens in the clear or as hashes, accounts by name or all of them.
    """
    principals = Principals(file=token_file(FILE))

    assert principals
    assert principals.of("ada's secret") == Principal("ada", frozenset({"A1"}), Role.TRADE)
    assert principals.of("watch") == Principal("watcher", None, Role.READ)


def test_a_token_can_be_withdrawn(token_file):
    """
    What is taken out of the file is not accepted any more once it was looked at again.
    """
    principals = Principals(file=token_file(FILE))
    principals.look_again()
    assert principals.of("watch").user == "watcher"

    token_file(FILE.partition('[[principal]]\nuser = "watcher"')[0])
    principals.look_again()

    assert principals.of("ada's secret").user == "ada"
    with pytest.raises(AuthenticationError):
        principals.of("watch")


@pytest.mark.parametrize(
    "broken", ["[[principal]", "x = " + "[" * 5000, None], ids=["half", "too deep", "gone"]
)
def test_a_file_that_cannot_be_read_any_more_lets_nobody_in(token_file, broken):
    """
    Closed is the safe side; the problem is kept for the log, and mended by the next good file.
    """
    file = token_file(FILE)
    principals = Principals({"given": ADA}, file=file)
    if broken is None:
        file.unlink()
    else:
        token_file(broken)
    principals.look_again()

    assert principals.problem is not None
    assert principals.of("given") is ADA
    with pytest.raises(AuthenticationError):
        principals.of("watch")

    token_file(FILE)
    principals.look_again()
    assert principals.problem is None
    assert principals.of("watch").user == "watcher"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_file_that_others_can_read_is_refused(token_file):
    """
    The error says what to do.
    """
    with pytest.raises(ConfigError, match="chmod 600"):
        Principals(file=token_file(FILE, 0o640))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"\[\[principal\]\] tables"),
        ("principal = 3", r"\[\[principal\]\] tables"),
        ("[[principal]]\nuser='a'\ntoken='t'\naccounts=['A']\n[extra]", r"\[\[principal\]\] tables"),
        ("[[principal]]\ntoken='t'\naccounts=['A']", "user must be a text"),
        ("[[principal]]\nuser='a'\naccounts=['A']", "token must be a text"),
        ("[[principal]]\nuser='a'\ntoken=''\naccounts=['A']", "token must be a text"),
        ("[[principal]]\nuser='a'\ntoken='t'", "accounts must be"),
        ("[[principal]]\nuser='a'\ntoken='t'\naccounts=[]", "accounts must be"),
        ("[[principal]]\nuser='a'\ntoken='t'\naccounts=[1]", "accounts must be"),
        ("[[principal]]\nuser='a'\ntoken='t'\naccounts=['A']\nrole='god'", "role is read, trade or admin"),
        ("[[principal]]\nuser='a'\ntoken='t'\naccount=['A']", "did you mean 'accounts'"),
        ("[[principal]]\nuser='a'\ntoken='t'\ntoken_sha256='x'\naccounts=['A']", "not both"),
        ("[[principal]]\nuser='a'\ntoken_sha256='abc'\naccounts=['A']", "64 hex digits"),
        ("[[principal]]\nuser='a'\ntoken_sha256='abcd'\naccounts=['A']", "64 hex digits"),
    ],
)
def test_a_wrong_file_is_refused_whole(token_file, text, why):
    """
    With the file's name, the table and what is wrong with it.
    """
    with pytest.raises(ConfigError, match=why) as caught:
        Principals(file=token_file(text))

    assert "tokens.toml" in str(caught.value)
