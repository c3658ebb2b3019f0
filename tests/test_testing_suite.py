"""A suite is kept whole: no inherited test can be left out, and none can hang."""

from __future__ import annotations

import asyncio

import pytest

from hotplug.testing._suite import Suite, claim, claim_type, refused


class Promises(Suite):
    def test_the_sky_is_blue(self):
        claim(self.sky() == "blue", f"the sky is {self.sky()}")

    def sky(self):
        return "blue"


def test_hooks_may_be_defined_and_tests_added():
    """
    A subclass says what is tested, and may test more.
    """

    class Mine(Promises):
        def sky(self):
            return "grey"

        def test_it_rains(self):
            pass

    with pytest.raises(AssertionError, match="the sky is grey"):
        Mine().test_the_sky_is_blue()
    Mine().test_no_inherited_test_was_replaced()


@pytest.mark.parametrize("instead", [None, lambda self: None, pytest.mark.skip(lambda self: None)])
def test_an_inherited_test_cannot_be_overridden(instead):
    """
    Redefining a test, with whatever, is a TypeError that names test, class and suite.
    """
    with pytest.raises(TypeError, match=r"Mine\.test_the_sky_is_blue overrides a test of Promises"):
        type("Mine", (Promises,), {"test_the_sky_is_blue": instead})


def test_nor_by_a_mixin():
    """
    A mixin that comes first hides a test just as well, and is named.
    """
    mixin = type("Lenient", (), {"test_the_sky_is_blue": lambda self: None})

    with pytest.raises(TypeError, match=r"Lenient\.test_the_sky_is_blue overrides"):
        type("Mine", (mixin, Promises), {})
    type("Mine", (Promises, mixin), {})


def test_nor_by_a_grandchild():
    """
    The tests that a subclass added are its own suite's for who inherits from it.
    """
    child = type("Child", (Promises,), {"test_more": lambda self: None})

    with pytest.raises(TypeError, match=r"Grandchild\.test_more overrides a test of Child"):
        type("Grandchild", (child,), {"test_more": None})


def test_nor_afterwards(monkeypatch):
    """
    A test that is replaced once the class is made is found by a test of its own.
    """
    mine = type("Mine", (Promises,), {})
    monkeypatch.setattr(mine, "test_the_sky_is_blue", None, raising=False)

    with pytest.raises(AssertionError, match=r"Mine\.test_the_sky_is_blue"):
        mine().test_no_inherited_test_was_replaced()


def test_what_hangs_fails():
    """
    A coroutine that does not end within the limit is a TimeoutError; one that does, gives its result.
    """

    class Hasty(Promises):
        time_limit = 0.05

    async def answer():
        return 42

    assert Hasty().run(answer()) == 42
    with pytest.raises(TimeoutError):
        Hasty().run(asyncio.Event().wait())


def test_a_type_is_claimed_by_name():
    """
    The failure says what is of the wrong type, and of which.
    """
    claim_type(3, int, "the answer")
    with pytest.raises(AssertionError, match="the answer must be a int, not a str"):
        claim_type("3", int, "the answer")


def test_refused_wants_the_right_error():
    """
    The awaited error is returned; another one, or none, fails, and says what came instead.
    """

    async def fail(error):
        raise error

    async def succeed():
        return "fine"

    error = KeyError("x")
    assert asyncio.run(refused(fail(error), KeyError, "asking")) is error
    with pytest.raises(AssertionError, match="asking must raise KeyError, not ValueError: y"):
        asyncio.run(refused(fail(ValueError("y")), KeyError, "asking"))
    with pytest.raises(AssertionError, match="asking must raise KeyError, but it returned 'fine'"):
        asyncio.run(refused(succeed(), KeyError, "asking"))
