"""Installing and looking at the same time: whoever looks after an installation sees it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from hotplug._discovery import discover

pytestmark = pytest.mark.usefixtures("own_index", "eager_threads")

GROUPS = {"hotplug.brokers": "brokers"}
ORDERS = (
    ("METADATA", "entry_points.txt", "INSTALLER", "RECORD"),
    ("RECORD", "INSTALLER", "METADATA", "entry_points.txt", "RECORD"),
    ("entry_points.txt", "METADATA", "RECORD", "INSTALLER", "RECORD"),
)


def install(site: Path, version: int) -> None:
    """Write a dist-info file by file, in one of the orders that installers have, in place of the old one."""
    for old in site.glob("acme-*.dist-info"):
        if version % 2:
            old.rename(site / "~cme-0.dist-info")
            old = site / "~cme-0.dist-info"
        for name in ("RECORD", "METADATA", "entry_points.txt", "INSTALLER"):
            (old / name).unlink(missing_ok=True)
        old.rmdir()
    info = site / f"acme-{version // 2}.dist-info"  # every version twice: the same name, other contents
    info.mkdir()
    texts = {
        "METADATA": f"Name: acme\nVersion: {version // 2}\n",
        "entry_points.txt": f"[hotplug.brokers]\nacme = acme:V{version}\n",
        "INSTALLER": "pip\n",
        "RECORD": "".join(f"{info.name}/{name},,\n" for name in ORDERS[0]),
    }
    for name in ORDERS[version % 3]:
        (info / name).write_text(texts[name])


def stale_answers(site: Path, times: int) -> list[tuple[int, list[str]]]:
    """Install *times* versions while others look all the time; what was wrong when looked at afterwards."""
    stale: list[tuple[int, list[str]]] = []
    ended = threading.Event()

    def keep_looking() -> None:
        while not ended.is_set():
            discover(GROUPS, [str(site)])

    with ThreadPoolExecutor(2) as pool:
        lookers = [pool.submit(keep_looking) for _ in range(2)]
        try:
            for version in range(times):
                install(site, version)
                values = [record.value for record in discover(GROUPS, [str(site)]).records]
                if values != [f"acme:V{version}"]:
                    stale.append((version, values))
        finally:
            ended.set()
        for looker in lookers:
            looker.result(10)
    return stale


@pytest.fixture
def site(tmp_path):
    """A folder with some distributions besides."""
    folder = tmp_path / "site"
    for number in range(10):
        info = folder / f"other{number}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: other{number}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"{info.name}/RECORD,,\n")
    return folder


def has_fine_clock(folder: Path) -> bool:
    """Whether every change that somebody looked at gets a time of its own."""
    probe = folder / "probe"
    times = set()
    for _ in range(50):
        probe.write_text("")
        times.add(probe.stat().st_ctime_ns)
    probe.unlink()
    return len(times) == 50


def trust_at_once(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Take away the two seconds of distrust, which hide every other mistake from this test."""
    if not has_fine_clock(folder):
        pytest.skip("the file system's clock is too coarse to do without the two seconds")
    later = SimpleNamespace(time_ns=lambda: time.time_ns() + 3_000_000_000)
    monkeypatch.setattr("hotplug._discovery._survey.time", later)


def test_no_stale_answer(site):
    """
    Of many installations none is missed by the look that follows it.
    """
    assert stale_answers(site, 100) == []


def test_no_stale_answer_without_distrust(site, monkeypatch):
    """
    Nor is one if stamps are trusted from the start, while installers are still at work.
    """
    trust_at_once(monkeypatch, site)

    assert stale_answers(site, 100) == []


@pytest.mark.real_services
@pytest.mark.parametrize("trusting", [False, True])
def test_no_stale_answer_of_a_thousand(site, monkeypatch, trusting):
    """
    The same a thousand times.
    """
    if trusting:
        trust_at_once(monkeypatch, site)

    assert stale_answers(site, 1000) == []
