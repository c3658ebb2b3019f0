"""Payloads as readers get them: JSON in dicts and lists that refuse to change."""

from __future__ import annotations

from typing import Any, Final, NoReturn

__all__ = ["ReadOnlyDict", "ReadOnlyList", "frozen"]

WHY: Final = "an event's payload cannot be changed; copy it with dict(…) or list(…)"


class ReadOnlyDict(dict[str, Any]):
    """A dict that stays as it is: compares, prints, pickles and serialises as one."""

    __slots__ = ()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError(WHY)

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = _refuse
    setdefault = update = _refuse  # pyright: ignore[reportAssignmentType] - what is refused has no signature

    def __reduce__(self) -> tuple[type[ReadOnlyDict], tuple[dict[str, Any]]]:
        return ReadOnlyDict, (dict(self),)


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


def frozen(payload: dict[str, Any]) -> ReadOnlyDict:
    """*payload*, of plain JSON, read-only at every depth. Deep nesting needs no deep stack."""
    top = ReadOnlyDict(payload)
    shallow: list[ReadOnlyDict | ReadOnlyList] = [top]
    while shallow:
        holder = shallow.pop()
        if isinstance(holder, ReadOnlyDict):
            for key, value in holder.items():
                if type(value) in CONTAINERS:
                    _put(holder, key, _read_only(value, shallow))
        else:
            for index, value in enumerate(holder):
                if type(value) in CONTAINERS:
                    _put_at(holder, index, _read_only(value, shallow))
    return top


def _read_only(
    value: dict[str, Any] | list[Any], shallow: list[ReadOnlyDict | ReadOnlyList]
) -> ReadOnlyDict | ReadOnlyList:
    made = ReadOnlyDict(value) if isinstance(value, dict) else ReadOnlyList(value)
    shallow.append(made)
    return made


# Past the refusal: for what nobody but this module has seen yet.
_put = dict[str, Any].__setitem__
_put_at = list[Any].__setitem__

CONTAINERS: Final[frozenset[type]] = frozenset({dict, list})
