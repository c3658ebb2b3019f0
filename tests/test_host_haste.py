"""Threads take turns more often while something is followed, and as ever afterwards."""

from __future__ import annotations

import sys

import pytest

from hot import hots, thing
from hotplug._host._haste import QUICK, haste


@pytest.fixture(autouse=True)
def as_before():
    """Whatever a test leaves, the next one has what Python begins with."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


def interval():
    return round(sys.getswitchinterval(), 6)


def test_turns_are_short_for_as_long_as_anybody_is_in_haste():
    """
    The interval is short until the last one is done, and then what it was.
    """
    with haste():
        with haste():
            assert interval() == QUICK
        assert interval() == QUICK
    assert interval() == 0.005


def test_whatever_is_raised_puts_it_back():
    """
    Who fails in haste leaves nothing behind.
    """
    with pytest.raises(KeyboardInterrupt), haste():
        raise KeyboardInterrupt
    assert interval() == 0.005


def test_who_takes_shorter_turns_already_goes_on_so():
    """
    An application that has chosen a shorter interval keeps it all the time.
    """
    sys.setswitchinterval(0.0001)
    with haste():
        assert interval() == 0.0001
    assert interval() == 0.0001


def test_what_somebody_sets_meanwhile_stays():
    """
    An interval that is chosen while others are in haste is not overwritten at the end.
    """
    with haste():
        sys.setswitchinterval(0.02)
    assert interval() == 0.02


@pytest.fixture
def hot(acme, tmp_path):
    yield from hots(acme, tmp_path)


@pytest.mark.parametrize("again", [lambda host: host.reload("acme-p"), lambda host: host.refresh()])
def test_a_reload_and_what_is_followed_are_in_haste(hot, again):
    """
    Code that is reloaded, by hand or by a hint, runs in haste; the application before and after does not.
    """
    code = thing("turns", head="import sys\nturns = round(sys.getswitchinterval(), 6)")
    hot.plain("acme-p", things={"p": "acme_p:Plain"}, files={"acme_p.py": code})
    with hot.host() as host:
        assert hot.do(host, "p") == 0.005
        hot.edit("acme-p", "acme_p.py", code.replace("return turns", "return turns, 'edited'"))
        host.follow_hints([("code", "acme-p")])
        assert hot.do(host, "p") == (QUICK, "edited")
        assert interval() == 0.005
        hot.plain("acme-p", things={"p": "acme_p:Plain"}, files={"acme_p.py": code}, version="2.0")
        assert again(host).changed == ("things/p",)
        assert hot.do(host, "p") == QUICK
        assert interval() == 0.005
