"""The options of ``[brokers.KEY]``: plain data becomes settings, or a list of what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from hotplug._records import FrozenDict
from hotplug._signature import Misfit, Parameter, Signature, dotted, fit
from hotplug.brokers._settings import BookSettings, OrderLimits, ReplacePolicy
from hotplug.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["checked_settings", "settings_from"]

TYPES: Final[Mapping[str, Any]] = {
    "accounts": dict[str, tuple[str, ...]],
    "allow_live": bool,
    "fsync": bool,
    "journal": bool,
    "limits": OrderLimits,
    "mode": Literal["read", "trade"],
    "on_shutdown": Literal["leave", "cancel"],
    "policy": ReplacePolicy,
}
WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "mode": ("read", "trade"),
    "on_shutdown": ("leave", "cancel"),
    "policy": tuple(policy.value for policy in ReplacePolicy),
}
AMOUNTS: Final = ("max_qty", "max_notional", "price_collar_pct")
SIGNATURE: Final = Signature("options", {name: Parameter(name, kind) for name, kind in TYPES.items()})


def settings_from(options: Mapping[str, object]) -> tuple[BookSettings, list[Misfit]]:
    """The settings that *options* spell, and what is wrong with them; names of others are left alone."""
    given = {name: value for name, value in options.items() if name in TYPES}
    if isinstance(policy := given.get("policy"), str):
        given["policy"] = policy.upper()
    misfits = [*_unknown_words(given), *_inexact(given.get("limits"))]
    for misfit in misfits:
        del given[cast("str", misfit.path[0])]
    values, others = fit(SIGNATURE, given, word="option")
    places: list[object] = list(options)
    misfits = sorted([*misfits, *others], key=lambda misfit: places.index(misfit.path[0]))
    misfits += _blank_names(cast("dict[str, tuple[str, ...]]", values.get("accounts", {})))
    if isinstance(limits := values.get("limits"), OrderLimits):
        misfits += _senseless(limits)
    if misfits:
        return BookSettings(), misfits
    if "accounts" in values:
        values["accounts"] = FrozenDict(cast("dict[str, tuple[str, ...]]", values["accounts"]))
    return BookSettings(**cast("dict[str, Any]", values)), []


def checked_settings(options: Mapping[str, object], whose: str) -> BookSettings:
    """The settings that *options* spell; `ValueError` naming *whose* they are and all that is wrong."""
    settings, misfits = settings_from(options)
    if misfits:
        raise ValueError(f"{whose}: " + "; ".join(f"{dotted(each.path)}: {each.why}" for each in misfits))
    return settings


def _unknown_words(given: Mapping[str, object]) -> Iterator[Misfit]:
    for name, known in WORDS.items():
        word = given.get(name)
        if isinstance(word, str) and word not in known:
            yield Misfit((name,), f"there is no {name} {word!r} ({close_match(word, known)})")


def _inexact(limits: object) -> Iterator[Misfit]:
    """Amounts of money and things that were written as a float, which is not the number that one reads."""
    if isinstance(limits, Mapping):
        for name in AMOUNTS:
            number = cast("Mapping[str, object]", limits).get(name)
            if isinstance(number, float):
                yield Misfit(("limits", name), f'must be text or a whole number: "{number}", not {number}')
                return


def _blank_names(accounts: Mapping[str, tuple[str, ...]]) -> Iterator[Misfit]:
    for user, names in accounts.items():
        if not user.strip():
            yield Misfit(("accounts", user), "a user's name is not blank")
        for place, name in enumerate(names):
            if not name.strip():
                yield Misfit(("accounts", user, place), "an account's name is not blank")


def _senseless(limits: OrderLimits) -> Iterator[Misfit]:
    for name in AMOUNTS:
        number = getattr(limits, name)
        if number is not None and not (number.is_finite() and number > 0):
            yield Misfit(("limits", name), f"must be a number above 0, not {number}")
    for name in ("max_open_orders", "orders_per_minute"):
        number = getattr(limits, name)
        if number is not None and number < 0:
            yield Misfit(("limits", name), f"must be 0 or more, not {number}")
