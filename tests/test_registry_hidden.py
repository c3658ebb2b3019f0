"""What an object holds and nobody reads by name."""

from __future__ import annotations

import gc
import weakref

import pytest

from hotplug.registry._hidden import hide


class Box:
    __slots__ = ("__weakref__", "_inside")


inside, put_inside = hide(Box, "_inside")


def test_only_who_hid_it_finds_it():
    """
    The slot is read and written by the two functions, and by no attribute.
    """
    box = Box()
    put_inside(box, "treasure")

    assert inside(box) == "treasure"
    assert not hasattr(box, "_inside")
    assert not hasattr(box, "__dict__")
    assert "_inside" not in dir(box)
    with pytest.raises(AttributeError):
        box._inside = "other"
    with pytest.raises(AttributeError):
        inside(Box())


def test_it_lives_and_goes_with_its_object():
    """
    A circle through a hidden slot is collected as any other.
    """
    box = Box()
    put_inside(box, [box])
    gone = weakref.ref(box)

    del box
    gc.collect()

    assert gone() is None
