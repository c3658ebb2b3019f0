"""Principals, tokens, and what is allowed of each."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta

import pytest

from hotplug.errors import ConfigError, InvalidContextError
from hotplug_web import Principal, TokenAuthenticator
from hotplug_web._limits import Bucket, Buckets, Slots
from hotplug_web._refusals import Refusal

ADA = '[[principal]]\nuser = "ada"\ntoken = "secret"\nscopes = ["admin"]\n'


@pytest.fixture
def file(tmp_path):
    """Writes a file of tokens that nobody else can read."""
    path = tmp_path / "tokens.toml"

    def write(text, mode=0o600):
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def test_a_principal_is_somebody():
    """
    A blank user is nobody, scopes are a set, a time has a zone.
    """
    with pytest.raises(InvalidContextError):
        Principal(" ")
    with pytest.raises(TypeError):
        Principal("ada", "admin")
    with pytest.raises(TypeError):
        Principal("ada", [1])
    with pytest.raises(ValueError, match="time zone"):
        Principal("ada", expires_at=datetime(2030, 1, 1))  # noqa: DTZ001 - that is the point
    assert Principal("ada", ["admin"]).scopes == frozenset({"admin"})


def test_a_principal_ends_when_it_says():
    """
    A time may be given as Unix seconds as well.
    """
    assert Principal("ada").seconds_left is None
    assert not Principal("ada").has_expired
    assert Principal("ada", expires_at=time.time() - 1).has_expired
    assert not Principal("ada", expires_at=datetime.now(UTC) + timedelta(hours=1)).has_expired


def test_admins_may_everything_that_is_asked_for():
    """
    Others what they have.
    """
    assert Principal("ada", ["admin"]).may("metrics")
    assert Principal("ada", ["metrics"]).may("metrics")
    assert not Principal("ada", ["read"]).may("metrics")
    assert not Principal("ada").may()


def test_a_file_grants_by_token_or_hash(file):
    """
    Who may do what stands in tables; a token may be given by its hash.
    """
    digest = hashlib.sha256(b"other").hexdigest()
    path = file(
        ADA + f'[[principal]]\nuser = "bob"\ntoken_sha256 = "{digest}"\nexpires_at = 2030-01-01T00:00:00Z\n'
    )

    known = TokenAuthenticator(file=path)

    assert known.of("secret") == Principal("ada", {"admin"})
    assert known.of("other") == Principal("bob", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
    assert known.of("third") is None
    assert "secret" not in repr(vars(known))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1", "principal"),
        ("[", "cannot be read"),
        ('[[principal]]\nuser = "ada"\n', "token"),
        ('[[principal]]\nuser = "ada"\ntoken = ""\n', "empty"),
        ('[[principal]]\ntoken = "x"\n', "user"),
        ('[[principal]]\nuser = "ada"\ntoken = "x"\nscope = ["admin"]\n', "scopes"),
        ('[[principal]]\nuser = "ada"\ntoken = "x"\nscopes = "admin"\n', "scopes"),
        ('[[principal]]\nuser = "ada"\ntoken = "x"\nexpires_at = 2030-01-01T00:00:00\n', "time zone"),
        ('[[principal]]\nuser = "ada"\ntoken = "x"\ntoken_sha256 = "y"\n', "not both"),
        ('[[principal]]\nuser = "ada"\ntoken_sha256 = "y"\n', "64 hex"),
        ('[[principal]]\nuser = "ada"\ntoken_sha256 = 1\n', "64 hex"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(file, text, why):
    """
    Nothing is granted by half.
    """
    with pytest.raises(ConfigError, match=why):
        TokenAuthenticator(file=file(text))


def test_a_file_that_others_can_read_is_refused(file):
    """
    Tokens are for their owners.
    """
    with pytest.raises(ConfigError, match="chmod 600"):
        TokenAuthenticator(file=file(ADA, 0o644))


def test_a_file_is_followed(file):
    """
    A token that is taken out is good no more; one that is put in is.
    """
    known = TokenAuthenticator(file=file(ADA))
    ada = known.of("secret")
    file(ADA.replace("secret", "another token"))

    assert known.of("secret") is None
    assert known.of("another token") == ada
    assert known.knows(ada)


def test_a_file_that_breaks_or_goes_lets_nobody_in(file, caplog):
    """
    Better nobody than whoever was in it before; that is logged, no token with it.
    """
    known = TokenAuthenticator(file=file(ADA))
    ada = known.of("secret")
    path = file("[")
    assert known.of("secret") is None
    path.unlink()
    assert not known.knows(ada)
    assert "nobody can come in" in caplog.text
    assert "secret" not in caplog.text
    file(ADA)
    assert known.of("secret") == ada


def test_who_is_revoked_stays_so_until_the_file_says_something_else(file):
    """
    Revoking outlives looking again.
    """
    known = TokenAuthenticator({"own": Principal("ada")}, file=file(ADA))
    known.revoke("ada")
    assert known.of("secret") is None
    assert known.of("own") is None
    file(f"# ada is back\n{ADA}")
    assert known.of("secret") == Principal("ada", {"admin"})


@pytest.mark.parametrize("token", ["", None, 7])
def test_an_empty_token_is_none(token):
    """
    It would be everybody's.
    """
    with pytest.raises(ConfigError):
        TokenAuthenticator({token: Principal("ada")})


# -- limits ----------------------------------------------------------------------------------------


def test_slots_are_given_back():
    """
    Also by who fails inside.
    """
    slots = Slots(1, "user")
    with pytest.raises(KeyError), slots.take("ada"):
        raise KeyError
    with slots.take("ada"):
        with pytest.raises(Refusal) as refused, slots.take("ada"):
            pass
        with slots.take("bob"):
            assert slots["ada"] == 1
    assert slots["ada"] == 0
    assert refused.value.close_code == 4429


def test_a_bucket_fills_again(monkeypatch):
    """
    A burst at once, then so many a second, never more than the burst.
    """
    now = [0.0]
    monkeypatch.setattr("hotplug_web._limits.time.monotonic", lambda: now[0])
    bucket = Bucket(2.0, 3)

    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now[0] += 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    now[0] += 100
    assert bucket.is_full
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


def test_buckets_are_bounded(monkeypatch):
    """
    A million addresses do not take the memory of a million buckets; full ones are forgotten first.
    """
    now = [0.0]
    monkeypatch.setattr("hotplug_web._limits.time.monotonic", lambda: now[0])
    buckets = Buckets(1.0, 1, most=3)
    for name in "abc":
        assert buckets.take(name)
    assert not buckets.take("c")
    assert buckets.take("d")
    assert len(buckets) == 3
    assert not buckets.take("c")
    now[0] += 10
    assert buckets.take("e")
    assert len(buckets) == 1
