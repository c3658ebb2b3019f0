"""The watcher against real tools, real limits of the system, and many files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from watching import file, move, tree, watching, write

pytestmark = [pytest.mark.real_services, pytest.mark.usefixtures("nothing_left")]

ROOT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> None:
    names = ("-c", "user.name=acme", "-c", "user.email=acme@localhost")
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("root", [tree, file])
def test_of_five_hundred_saves_none_is_missed(tmp_path, root):
    """
    Same size, most within the same second, in place and by renaming: every single one is reported.
    """
    path = write(tmp_path / "code" / "a.py")
    with watching(root(path if root is file else path.parent, "root"), tick=3600.0) as there:
        for number in range(500):
            count = len(there.heard.calls)
            if number % 2:
                path.write_text(f"{number:06}\n")
            else:
                move(write(path.with_name("a.py.tmp"), f"{number:06}\n"), path)
            there.heard.hears("root", after=count)

        assert there.watcher.report().missed == 0


def test_a_checkout_of_two_hundred_files_is_one_report(tmp_path):
    """
    What git does when it changes the branch is one burst, new and deleted folders included.
    """
    code = tmp_path / "repository" / "code"
    for number in range(200):
        write(code / f"p{number % 9}" / f"m{number}.py")
    git(tmp_path, "init", "repository")
    git(code, "checkout", "-b", "one")
    git(code, "add", "-A")
    git(code, "commit", "-m", "one")
    git(code, "checkout", "-b", "two")
    for number in range(200):
        write(code / f"p{number % 9}" / f"m{number}.py", f"x = {number}\n")
    move(code / "p0", code / "new")
    git(code, "add", "-A")
    git(code, "commit", "-m", "two")
    with watching(tree(code), settle=0.2) as there:
        for branch in ("one", "two", "one"):
            count = len(there.heard.calls)
            git(code, "checkout", branch)
            there.heard.hears("code", after=count)
            there.then_touch(code / "p1" / "m1.py", "code")
            git(code, "checkout", ".")
            there.heard.hears("code", after=count + 2)
            assert len(there.heard.calls) == count + 3


def test_a_large_tree_is_watched_to_its_leaves(tmp_path):
    """
    A tree of 1,700 folders is listened to whole; a folder of 300 more is taken in and heard.
    """
    for number in range(1700):
        write(tmp_path / "code" / f"p{number % 40}" / f"p{number}" / "m.py")
    for number in range(300):
        write(tmp_path / "more" / f"p{number}" / "m.py")
    with watching(tree(tmp_path / "code")) as there:
        assert there.watcher.report().watches == 1741
        there.then_touch(tmp_path / "code" / "p39" / "p1679" / "m.py", "code")
        move(tmp_path / "more", tmp_path / "code" / "more")
        there.heard.hears("code", after=1)
        there.then_touch(tmp_path / "code" / "more" / "p299" / "m.py", "code")
        shutil.rmtree(tmp_path / "code" / "more")
        there.heard.wait(lambda: there.watcher.report().watches == 1741)


SCRIPT = """
    import os, resource, sys
    from pathlib import Path
    from watching import Watching, tree
    large, small = Path(sys.argv[1]), Path(sys.argv[2])
    if sys.argv[3:]:
        import watchfiles
        spare = len(os.listdir("/proc/self/fd")) + int(sys.argv[3])
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, spare))
    there = Watching(tree(large, "large"), tree(small, "small"), poll=0.05, tick=3600.0)
    report = there.watcher.report()
    print(report.mode, report.watches, *sorted(Path(path).name for path in report.polled))
    print(*set(report.polled.values()), file=sys.stderr)
    there.then_touch(large / "p7" / "m.py", "large")
    there.then_touch(small / "p0" / "m.py", "small")
    there.watcher.close()
"""


@pytest.fixture
def two(tmp_path):
    """A large root and a small one."""
    for name, size in (("large", 20), ("small", 2)):
        for number in range(size):
            write(tmp_path / name / f"p{number}" / "m.py")
    return tmp_path / "large", tmp_path / "small"


def run(*command: object, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    arguments = [str(part) if part is not SCRIPT else textwrap.dedent(script) for part in command]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)


def has_namespaces() -> bool:
    command = shutil.which("unshare")
    return (
        bool(command)
        and not subprocess.run([command, "-Ur", "true"], capture_output=True, check=False).returncode
    )


@pytest.mark.skipif(not has_namespaces(), reason="the system lets nobody have limits of his own")
@pytest.mark.parametrize(
    ("limit", "outcome"),
    [
        ("max_inotify_watches=10", "mixed 3 large"),
        ("max_inotify_watches=0", "polling 0 large small"),
        ("max_inotify_instances=0", "polling 0 large small"),
        ("max_inotify_instances=1", "events 24"),
        ("max_inotify_watches=24", "events 24"),
    ],
)
def test_where_the_system_has_no_more_watches_the_clock_does(two, limit, outcome):
    """
    At the system's limits what does not fit is polled, the largest first, and every save is reported.
    """
    name, value = limit.split("=")
    limited = f'echo {value} > /proc/sys/user/{name}; exec "$@"'
    ended = run("unshare", "-Ur", "sh", "-c", limited, "sh", sys.executable, "-c", SCRIPT, *two)

    assert (ended.returncode, ended.stdout.strip()) == (0, outcome), ended.stderr


def test_where_no_more_files_may_be_opened_the_clock_does(two):
    """
    A process that has all its files open cannot listen; it looks, and says why.
    """
    ended = run(sys.executable, "-c", SCRIPT, *two, 1)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("polling 0 large small"), ended.stdout
    assert "files" in ended.stderr
