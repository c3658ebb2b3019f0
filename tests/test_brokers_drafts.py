"""Drafts: records that are written before they are frozen."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from hotplug.brokers._events._drafts import copier_of, drafts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Coin:
    """A record of this test's own."""

    value: int
    side: str = "heads"


Draft = drafts_of(Coin)


def drafted(value: int, side: str) -> Coin:
    draft = Draft()
    draft.value, draft.side = value, side
    draft.__class__ = Coin
    return draft


def test_a_draft_becomes_a_record_like_any_other():
    """It equals one that was made the usual way, hashes, pickles and is replaced as that is."""
    coin, usual = drafted(5, "tails"), Coin(value=5, side="tails")
    assert coin == usual
    assert type(coin) is Coin
    assert hash(coin) == hash(usual)
    assert repr(coin) == repr(usual)
    assert pickle.loads(pickle.dumps(coin)) == copy.copy(coin) == usual
    assert replace(coin, value=2) == Coin(value=2, side="tails")


def test_a_record_is_frozen_when_it_is_no_draft_any_more():
    """Nobody writes into what was a draft."""
    coin = drafted(5, "tails")
    with pytest.raises(FrozenInstanceError):
        coin.value = 6


def test_fields_are_copied_from_one_of_the_kind():
    """All of them, as they are."""
    draft = Draft()
    copier_of(Coin)(draft, Coin(value=7, side="edge"))
    draft.__class__ = Coin
    assert draft == Coin(value=7, side="edge")


def test_nothing_has_a_default_in_a_draft():
    """What was never written is not there: a field that is forgotten shows itself."""
    draft = Draft()
    draft.value = 1
    draft.__class__ = Coin
    with pytest.raises(AttributeError):
        draft.side  # noqa: B018
