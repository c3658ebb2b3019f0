"""Awaiting plugin code: what it answers or raises is an outcome, and nothing else gets out."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from hotplug import _lifecycle
from hotplug._lifecycle import WalledCall, name_and_text


def outcome_of(call, *, timeout=None, **options):
    return asyncio.run(asyncio.wait_for(WalledCall(call, **options).outcome(timeout), 10))


async def answer() -> str:
    return "answer"


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def ignore_the_first_cancellation() -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await wait_for_ever()
    await wait_for_ever()


def test_an_answer_is_an_outcome():
    """
    What the code returns is the value.
    """
    outcome = outcome_of(answer)

    assert (outcome.state, outcome.value, outcome.error) == ("done", "answer", None)


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), SystemExit(3), asyncio.CancelledError(), GeneratorExit(), TimeoutError("its own")],
    ids=lambda error: type(error).__name__,
)
def test_whatever_is_raised_is_an_outcome(error):
    """
    Any exception of the code, a `CancelledError` of its own making too, is a failure and not raised.
    """

    async def fail() -> None:
        raise error

    outcome = outcome_of(fail, timeout=10)

    assert (outcome.state, outcome.error) == ("failed", error)


def test_a_call_that_raises_at_once_is_a_failure():
    """
    What is no coroutine function, and raises when called or gives nothing to await, fails as well.
    """
    assert isinstance(outcome_of(lambda: 1 // 0).error, ZeroDivisionError)
    assert isinstance(outcome_of(lambda: 42).error, TypeError)


def test_keyboard_interrupt_gets_out():
    """
    Who presses Ctrl-C is obeyed.
    """

    async def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome_of(interrupt)


def test_a_timeout_cancels_the_code():
    """
    After the timeout the code is told, cancelled, and waited for while it cleans up.
    """
    story = []

    async def clean() -> None:
        try:
            await wait_for_ever()
        finally:
            await asyncio.sleep(0)
            story.append("cleaned")

    outcome = outcome_of(clean, timeout=0.01, on_stop=lambda: story.append("told"))

    assert (outcome.state, outcome.left_behind) == ("timed out", False)
    assert story == ["told", "cleaned"]


def test_code_that_does_not_stop_is_left_behind():
    """
    Who ignores the cancellation is waited for no longer than the grace, and kept until it ends.
    """

    async def world():
        outcome = await WalledCall(ignore_the_first_cancellation, grace=0.01).outcome(0.01)
        [left] = _lifecycle._left_behind
        left.cancel()
        await asyncio.wait({left})
        await asyncio.sleep(0)
        return outcome

    outcome = asyncio.run(asyncio.wait_for(world(), 10))
    assert (outcome.state, outcome.left_behind) == ("timed out", True)
    assert _lifecycle._left_behind == set()


def test_cancel_before_the_call_prevents_it():
    """
    A call that was cancelled before it began is never made.
    """
    made = []
    call = WalledCall(lambda: made.append(1))
    call.cancel()

    assert asyncio.run(call.outcome()).state == "cancelled"
    assert made == []


def test_cancel_works_from_another_thread():
    """
    `cancel` ends the call from any thread; a second time, and after the loop is closed, it does nothing.
    """
    began = threading.Event()

    async def patient() -> None:
        began.set()
        await wait_for_ever()

    call = WalledCall(patient)

    def cancel() -> None:
        assert began.wait(10)
        call.cancel()
        call.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    outcome = asyncio.run(asyncio.wait_for(call.outcome(), 10))
    thread.join()
    call.cancel()

    assert (outcome.state, outcome.left_behind) == ("cancelled", False)


def test_the_awaiting_task_may_be_cancelled():
    """
    The cancellation of who awaits is passed on to the code, and stays a cancellation.
    """
    story = []

    async def code() -> None:
        story.append("began")
        try:
            await wait_for_ever()
        finally:
            story.append("ended")

    async def world() -> bool:
        waiting = asyncio.create_task(WalledCall(code).outcome())
        while not story:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        return waiting.cancelled()

    assert asyncio.run(asyncio.wait_for(world(), 10))
    assert story == ["began", "ended"]


def test_errors_on_one_line():
    """
    An error is named with its text; one without text, and one whose text raises, by its name.
    """

    class RudeError(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert name_and_text(ValueError("x")) == "ValueError: x"
    assert name_and_text(ValueError()) == "ValueError"
    assert name_and_text(RudeError()) == "RudeError"
