"""ccxt is imported late, as little of it as is needed, and nobody else is the worse for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hotplug_broker_ccxt._loading import _unexecuted, exchange_names, require_exchange

STORY = """
import sys
import hotplug_broker_ccxt
from hotplug_broker_ccxt import CcxtBroker
CcxtBroker(exchange="kraken")
assert not [name for name in sys.modules if name.split(".")[0] in {"aiohttp", "ccxt", "requests"}]

from hotplug_broker_ccxt._loading import exchange_class
kraken = exchange_class("kraken")
assert kraken.__module__ == "ccxt.async_support.kraken"
loaded = {name for name in sys.modules if name.startswith("ccxt.async_support.")}
assert not {name for name in loaded if name.count(".") == 2} - {
    "ccxt.async_support.base", "ccxt.async_support.kraken"
}, loaded
assert exchange_class("kraken") is kraken
"""

WHOLE = """
import sys
from hotplug_broker_ccxt._loading import exchange_class
kraken = exchange_class("kraken")
import ccxt.async_support
assert ccxt.async_support.kraken is kraken
assert ccxt.InvalidOrder is ccxt.base.errors.InvalidOrder
assert "ccxt.async_support.binance" not in sys.modules
assert issubclass(ccxt.async_support.binance, ccxt.async_support.Exchange)
assert ccxt.async_support.kraken is kraken
assert ccxt.binance is not ccxt.async_support.binance
assert issubclass(exchange_class("okx"), ccxt.async_support.Exchange)
"""


def test_only_what_is_needed_is_imported():
    """
    Making a broker imports no ccxt; connecting imports one exchange of it.
    """
    assert run(STORY) == (0, "")


@pytest.mark.real_services
def test_ccxt_itself_works_as_ever():
    """
    Who imports ccxt afterwards, as a whole, has all of it, with the same classes.
    """
    assert run(WHOLE) == (0, "")


def run(story: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", story], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


def test_the_names_are_known_without_an_import():
    """
    The exchanges are a hundred, and a wrong name gets a close one.
    """
    assert len(exchange_names()) > 90
    assert {"binance", "kraken", "okx"} <= exchange_names()
    assert "__init__" not in exchange_names()
    with pytest.raises(ValueError, match="did you mean 'kraken'"):
        require_exchange("krakne")


def test_without_ccxt_that_is_said(monkeypatch):
    """
    Where ccxt is missing, the error names it.
    """
    monkeypatch.setattr("hotplug_broker_ccxt._loading.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="ccxt is not installed"):
        exchange_names.__wrapped__()


def test_a_package_executes_itself_when_it_is_asked(tmp_path, monkeypatch):
    """
    A package that was entered unexecuted becomes itself at the first question, once.
    """
    (tmp_path / "acme_package").mkdir()
    (tmp_path / "acme_package" / "__init__.py").write_text("runs = globals().get('runs', 0) + 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    package = _unexecuted("acme_package")
    monkeypatch.setitem(sys.modules, "acme_package", package)

    assert "runs" not in vars(package)
    assert issubclass(package.InvalidOrder, Exception)
    assert "runs" not in vars(package)
    assert (package.runs, package.runs) == (1, 1)
    with pytest.raises(AttributeError):
        getattr(package, "nothing")  # noqa: B009 - asked on purpose
    assert vars(package)["runs"] == 1
