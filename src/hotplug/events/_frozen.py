"""Payloads as readers get them: JSON in dicts and lists that refuse to change."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from hotplug._records import FrozenDict

__all__ = ["ReadOnlyList", "frozen"]

WHY: Final = "an event's payload cannot be changed; copy it"


class ReadOnlyList(list[Any]):
    """A list that stays as it is: compares, prints, pickles and serialises as one."""

    __slots__ = ()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError(WHY)

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = _refuse
    sort = _refuse  # pyright: ignore[reportAssignmentType] - what is refused has no signature

    def __reduce__(self) -> tuple[type[ReadOnlyList], tuple[list[Any]]]:
        return ReadOnlyList, (list(self),)


def frozen(payload: dict[str, Any]) -> FrozenDict[str, Any]:
    """*payload*, of plain JSON, read-only at every depth. Deep nesting needs no deep stack."""
    top = FrozenDict[str, Any](payload)
    shallow: list[FrozenDict[str, Any] | ReadOnlyList] = [top]
    while shallow:
        holder = shallow.pop()
        if isinstance(holder, FrozenDict):
            for key, value in holder.items():
                if type(value) in CONTAINERS:
                    _put(holder, key, _read_only(value, shallow))
        else:
            for index, value in enumerate(holder):
                if type(value) in CONTAINERS:
                    _put_at(holder, index, _read_only(value, shallow))
    return top


def _read_only(
    value: dict[str, Any] | list[Any], shallow: list[FrozenDict[str, Any] | ReadOnlyList]
) -> FrozenDict[str, Any] | ReadOnlyList:
    made = FrozenDict[str, Any](value) if isinstance(value, dict) else ReadOnlyList(value)
    shallow.append(made)
    return made


# Past the refusal: for what nobody but this module has seen yet.
_put = dict[str, Any].__setitem__
_put_at = list[Any].__setitem__

CONTAINERS: Final[frozenset[type]] = frozenset({dict, list})
