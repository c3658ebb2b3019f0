"""Verbs, one at a time, none from inside itself."""

from __future__ import annotations

import contextvars
import threading

import pytest

from hotplug._host._turn import Turn
from hotplug.errors import HostError

pytestmark = pytest.mark.usefixtures("nothing_left")


def refused(turn, verb="refresh"):
    try:
        with turn.take(verb):
            return None
    except HostError as error:
        return str(error)


def test_one_verb_at_a_time():
    """
    A verb waits until the one before it is over.
    """
    turn, order = Turn(), []
    inside = threading.Event()

    def second():
        inside.wait(10)
        with turn.take("second"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with turn.take("first"):
        inside.set()
        thread.join(0.02)
        order.append("first")
    thread.join(10)

    assert order == ["first", "second"]


def test_a_verb_is_refused_inside_another_and_inside_a_load():
    """
    The outermost thing that is being done is named; a load alone lets other loads in.
    """
    turn = Turn()

    with turn.take("start"), turn.load("a"):
        assert "refresh() was asked for from inside start():" in refused(turn)
        assert turn.is_in_verb
    with turn.load("a"), turn.load("b"):
        assert "from inside the load of a:" in refused(turn)
        assert not turn.is_in_verb
    assert refused(turn) is None


def test_hosts_do_not_mind_each_other():
    """
    Inside a verb of one host those of another are allowed.
    """
    one, two = Turn(), Turn()

    with one.take("start"), two.take("start"):
        assert refused(one)
    with one.take("start"):
        assert refused(two) is None


def test_what_is_over_is_over():
    """
    A context that was copied inside a verb is not inside it for ever.
    """
    turn = Turn()
    with turn.take("start"):
        copied = contextvars.copy_context()
        assert "start()" in copied.run(refused, turn)

    assert copied.run(refused, turn) is None
    assert copied.run(lambda: turn.is_in_verb) is False


def test_a_verb_that_raises_gives_its_turn_back():
    """
    However a verb ends, the next one gets its turn.
    """
    turn = Turn()
    with pytest.raises(KeyboardInterrupt), turn.take("start"):
        raise KeyboardInterrupt

    assert refused(turn) is None
