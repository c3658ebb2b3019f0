"""The options of a broker: what they mean, and everything that is wrong with them."""

from __future__ import annotations

import tomllib
from decimal import Decimal

import pytest

from hotplug._records import FrozenDict
from hotplug._signature import dotted
from hotplug.brokers import BookSettings, OrderLimits, ReplacePolicy
from hotplug.brokers._hosting._options import checked_settings, settings_from


@pytest.mark.parametrize("name", ["max_qty", "max_notional", "price_collar_pct"])
def test_amounts_are_exact(name):
    """
    An int is one, a float is a TypeError.
    """
    assert getattr(OrderLimits(**{name: 3}), name) == Decimal(3)
    assert type(getattr(OrderLimits(**{name: 3}), name)) is Decimal
    with pytest.raises(TypeError, match=name):
        OrderLimits(**{name: 1.5})


def test_every_option_is_read():
    """
    A table with every option becomes the settings that it spells; what belongs to others is left alone.
    """
    table = tomllib.loads(
        """
        accounts = { ada = ["A1", "A2"], bob = ["B1"] }
        limits = { max_qty = "5", max_notional = 100, max_open_orders = 3, orders_per_minute = 60,
                   price_collar_pct = "2.5", symbols = ["IBM"] }
        allow_live = true
        mode = "trade"
        on_shutdown = "cancel"
        fsync = true
        journal = true
        policy = "drain"
        approval = "of somebody else"
        """.replace(",\n", ",")
    )

    settings, misfits = settings_from(table)

    assert misfits == []
    assert settings == BookSettings(
        accounts=FrozenDict(ada=("A1", "A2"), bob=("B1",)),
        limits=OrderLimits(
            max_qty=Decimal(5),
            max_notional=Decimal(100),
            max_open_orders=3,
            orders_per_minute=60,
            price_collar_pct=Decimal("2.5"),
            symbols=frozenset({"IBM"}),
        ),
        allow_live=True,
        mode="trade",
        on_shutdown="cancel",
        fsync=True,
        journal=True,
        policy=ReplacePolicy.DRAIN,
    )
    assert dict(settings.accounts) == {"ada": ("A1", "A2"), "bob": ("B1",)}


def test_nothing_said_is_the_careful_default():
    """
    Without options nobody has an account, a live gateway does not trade, and orders stay at shutdown.
    """
    assert settings_from({}) == (BookSettings(), [])
    assert (BookSettings().allow_live, BookSettings().mode, BookSettings().on_shutdown) == (
        False,
        None,
        "leave",
    )


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        ('accounts = { ada = "A1" }', "accounts.ada", "Expected `array`, got `str`"),
        ('accounts = { " " = ["A1"] }', "accounts. ", "a user's name is not blank"),
        ('accounts = { ada = ["A1", ""] }', "accounts.ada[1]", "an account's name is not blank"),
        ("limits = { max_qtty = 1 }", "limits.max_qtty", "did you mean 'max_qty'"),
        ("limits = { max_qty = 0 }", "limits.max_qty", "above 0"),
        ('limits = { max_notional = "NaN" }', "limits.max_notional", "above 0"),
        ("limits = { price_collar_pct = -1 }", "limits.price_collar_pct", "above 0"),
        ("limits = { max_open_orders = -1 }", "limits.max_open_orders", "0 or more"),
        ("limits = { orders_per_minute = 1.5 }", "limits.orders_per_minute", "Expected `int"),
        ("limits = { max_qty = 0.1 }", "limits.max_qty", 'text or a whole number: "0.1", not 0.1'),
        ("limits = { max_notional = 1e3 }", "limits.max_notional", "text or a whole number"),
        ("limits = { price_collar_pct = 2.5 }", "limits.price_collar_pct", "text or a whole number"),
        ("limits = { max_qty = true }", "limits.max_qty", ""),
        ("limits = 5", "limits", "Expected `object`"),
        ('mode = "both"', "mode", "'both'"),
        ('mode = "trad"', "mode", "did you mean 'trade'?"),
        ('on_shutdown = "panic"', "on_shutdown", "'panic'"),
        ('on_shutdown = "cancle"', "on_shutdown", "did you mean 'cancel'?"),
        ('journal = "yes"', "journal", "Expected `bool`"),
        ("policy = 5", "policy", "Expected `str`"),
        ('policy = "hope"', "policy", "HOPE"),
        ('policy = "handoff"', "policy", "did you mean 'HANDOVER'?"),
        ("allow_live = 1", "allow_live", "Expected `bool`"),
    ],
)
def test_what_makes_no_sense_is_named(text, path, why):
    """
    An option that makes no sense is a misfit with its path, and none of the table counts.
    """
    settings, [misfit] = settings_from({"fsync": True, **tomllib.loads(text)})

    assert (dotted(misfit.path), settings) == (path, BookSettings())
    assert why in misfit.why


def test_everything_wrong_is_said_at_once():
    """
    Who registers a gateway with wrong options hears of all of them.
    """
    with pytest.raises(ValueError, match=r"brokers/main: mode: .*; fsync: "):
        checked_settings({"mode": "x", "fsync": 3}, "brokers/main")
