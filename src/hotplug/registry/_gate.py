"""What may stand in a registry: its contract, and the validators somebody added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hotplug.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gate", "Validator", "describe"]

T = TypeVar("T")


class Validator(Generic[T]):
    """One added check. An object of its own, so that the same function added twice is undone once."""

    __slots__ = ("accepts",)

    def __init__(self, accepts: Callable[[str, T], bool]) -> None:
        self.accepts = accepts


class Gate(Generic[T]):
    """
    Checks candidates of one registry; raises `ContractError` for those that do not fit.

    `check` runs code of contracts and validators, so it is never called under a lock. *validators*
    is replaced as a whole, never changed. *is_open* says that there is nothing to check.
    """

    __slots__ = ("_contract", "_registry", "_resolved", "is_open", "validators")

    def __init__(self, registry: str, contract: type[T] | str | None) -> None:
        if not (contract is None or isinstance(contract, type | str)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a contract is a class or the text 'module:Name', not {contract!r}")
        self._registry = registry
        self._contract = contract
        self._resolved: type[Any] | None = None if isinstance(contract, str) else contract
        self.validators: tuple[Validator[T], ...] = ()
        self.is_open = contract is None

    def set_validators(self, validators: tuple[Validator[T], ...]) -> None:
        """Ask these from now on; the caller holds the registry's lock."""
        self.validators = validators
        self.is_open = self._contract is None and not validators

    def check(self, key: str, candidate: T) -> None:
        """Return if *candidate* may stand under *key*."""
        if self._contract is not None:
            self._check_contract(key, candidate)
        for validator in self.validators:
            self._check_with(validator, key, candidate)

    def vouches_for(self, cls: type) -> bool:
        """Whether every instance of *cls* fulfils the contract, so that only validators need be asked."""
        contract = self._resolved
        if contract is None:
            return self._contract is None
        return not _is_protocol(contract) and issubclass(cls, contract)

    def check_maker(self, key: str, maker: object) -> None:
        """Return if *maker* can be called to make something, synchronously."""
        from inspect import iscoroutinefunction

        if not callable(maker):
            raise ContractError(self._registry, key, f"{maker!r} cannot be called to make anything")
        if iscoroutinefunction(maker) or iscoroutinefunction(getattr(maker, "__call__", None)):  # noqa: B004
            raise ContractError(
                self._registry,
                key,
                f"{maker!r} is async and would make a coroutine; make the object in a plain function "
                "and let the object do its waiting",
            )

    def _check_contract(self, key: str, candidate: object) -> None:
        contract = self._resolved or self._resolve(key)
        if _is_protocol(contract):
            from hotplug._signature import differences

            found = differences(candidate, contract)
            if found:
                raise self._mismatch(key, candidate, contract, found)
        elif not isinstance(candidate, contract):
            from hotplug._signature import differences

            raise self._mismatch(key, candidate, contract, differences(candidate, contract))

    def _mismatch(
        self, key: str, candidate: object, contract: type[Any], differences: tuple[str, ...]
    ) -> ContractError:
        name = contract.__name__
        what = (
            f"the class {candidate.__name__} itself, not an instance of it,"
            if isinstance(candidate, type)
            else f"an object of type {type(candidate).__name__}"
        )
        return ContractError(self._registry, key, f"{what} is no {name}", differences)

    def _resolve(self, key: str) -> type[Any]:
        """The class that the contract's text names, imported now and remembered."""
        from importlib import import_module

        module, _, name = str(self._contract).partition(":")
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            why = f"the contract {self._contract!r} cannot be imported: {error}"
            raise ContractError(self._registry, key, why) from error
        if not isinstance(found, type):
            raise ContractError(self._registry, key, f"the contract {self._contract!r} is no class")
        self._resolved = found
        return found

    def _check_with(self, validator: Validator[T], key: str, candidate: T) -> None:
        try:
            accepted = validator.accepts(key, candidate)
        except Exception as error:
            raise ContractError(self._registry, key, f"a validator raised {describe(error)}") from error
        if not accepted:
            name = getattr(validator.accepts, "__qualname__", repr(validator.accepts))
            raise ContractError(self._registry, key, f"the validator {name} refused it")


def _is_protocol(contract: type[Any]) -> bool:
    return bool(getattr(contract, "_is_protocol", False))


def describe(error: BaseException) -> str:
    """The error in one line, even if it cannot tell its own text."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - the text is made by somebody else's class
        return type(error).__name__
