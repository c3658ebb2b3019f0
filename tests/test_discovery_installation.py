"""Whether an installation is complete is told by its contents, at any instant, whatever is wrong."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import pytest

from hotplug import _discovery
from hotplug._discovery import _installation, backups, installation

pytestmark = pytest.mark.usefixtures("own_index")

FILES = {"acme/__init__.py": "ONE = 1\n", "acme/deep/two.py": "TWO = 2\n", "acme/data.txt": "three"}
POINTS = {"hotplug.brokers": {"acme": "acme:Broker"}}


@pytest.fixture
def info(environment) -> Path:
    """The dist-info of a complete installation."""
    return environment.install("acme", "1.0", advertises=POINTS, files=FILES)


@pytest.fixture
def later(monkeypatch):
    """Call it, and whatever was installed is an hour old."""
    import time

    def wait() -> None:
        clock = SimpleNamespace(time_ns=lambda: time.time_ns() + 3_600_000_000_000)
        monkeypatch.setattr(_installation, "time", clock)

    return wait


@pytest.fixture
def no_reading(monkeypatch):
    """Call it, and from then on a RECORD that is read makes the test fail."""

    def forbid() -> None:
        monkeypatch.setattr(_installation, "read_record", lambda path: pytest.fail("RECORD was read again"))

    return forbid


def sign(info: Path, text: str | None = None) -> None:
    """Write RECORD once more, as *text* if given: whatever was changed before counts as installed."""
    record = info / "RECORD"
    text = record.read_text() if text is None else text
    record.unlink()
    record.write_text(text)


def without(info: Path, row: str) -> str:
    return "".join(line for line in rows(info) if row not in line)


def rows(info: Path) -> list[str]:
    return (info / "RECORD").read_text().splitlines(keepends=True)


def said(info: Path, **options: bool) -> tuple[str, str, str]:
    found = installation(str(info), **options)
    return found.state, os.path.relpath(found.file, info.parent) if found.file else "", found.why


# -- what is complete ---------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
def test_complete(info, strict):
    """
    What lies there as RECORD says, signed by an installer, is complete; its digest is that of RECORD.
    """
    found = installation(str(info), strict=strict)

    assert (found.state, found.why, found.file) == ("complete", "", "")
    assert found.digest == hashlib.sha256((info / "RECORD").read_bytes()).hexdigest()


def test_changed_at_is_the_newest_change(info, tick):
    """
    The newest change of the dist-info, its files and the recorded files is said in Unix seconds.
    """
    data = info.parent / "acme" / "data.txt"
    first = installation(str(info)).changed_at
    tick()
    data.write_text("other")
    second = installation(str(info)).changed_at
    tick()
    (info / "extra").write_text("")

    assert first < second == data.stat().st_ctime_ns / 1e9
    assert installation(str(info)).changed_at == info.stat().st_ctime_ns / 1e9


def test_a_slash_at_the_end_changes_nothing(info):
    """
    The dist-info may be spelled as a folder.
    """
    assert installation(f"{info}{os.sep}").state == "complete"


def test_unconfirmed(info):
    """
    Where RECORD does not list INSTALLER, all may be there, but nobody has signed.
    """
    sign(info, without(info, "INSTALLER"))

    assert said(info) == ("unconfirmed", "", "")


def test_gone(info):
    """
    No dist-info, no installation.
    """
    found = installation(str(info.parent / "other-1.0.dist-info"))

    assert (found.state, found.digest) == ("gone", "")


def test_contents_make_the_digest(environment):
    """
    The same version with other contents has another digest, the same contents again the same.
    """
    digests = []
    for text in ("one", "two", "one"):
        made = environment.install("acme", "1.0", files={"acme.py": text})
        digests.append(installation(str(made)).digest)

    assert digests[0] == digests[2] != digests[1]


def test_bytecode_is_nobodys_truth(info):
    """
    Bytecode that RECORD lists may be there or not, with or without a size.
    """
    rows = "acme/__pycache__/__init__.cpython-311.pyc,,\nacme/__pycache__/x.pyc,sha256=abc,7\n"
    sign(info, rows + (info / "RECORD").read_text())

    assert said(info) == ("complete", "", "")


@pytest.mark.parametrize("row", ["../bin/acme", "/ABSOLUTE"])
@pytest.mark.parametrize("there", [True, False])
def test_outside_only_existence_counts(info, row, there):
    """
    What lies elsewhere is missed if it is missing, and never looked into.
    """
    script = info.parent.parent / "bin" / "acme"
    script.parent.mkdir()
    row = row.replace("/ABSOLUTE", str(script))
    if there:
        script.write_text("anything")
    sign(info, f"{row},sha256=wrong,1\n" + (info / "RECORD").read_text())

    found = installation(str(info), strict=True)

    assert (found.state, found.why) == (("complete", "") if there else ("partial", "is missing"))


def test_rows_with_commas(environment):
    """
    A path with a comma is quoted in RECORD, and found.
    """
    made = environment.install("acme", "1.0", files={"acme/__init__.py": "", "one,two.txt": "x"})
    text = (made / "RECORD").read_text()
    sign(made, text.replace("one,two.txt", '"one,two.txt"'))
    assert said(made) == ("complete", "", "")
    (made.parent / "one,two.txt").unlink()

    assert said(made) == ("partial", "one,two.txt", "is missing")


@pytest.mark.parametrize("algorithm", ["sha384", "blake2b"])
def test_other_hashes(info, algorithm):
    """
    Any hash that Python guarantees is verified.
    """
    from base64 import urlsafe_b64encode

    data = (info.parent / "acme" / "__init__.py").read_bytes()
    digest = urlsafe_b64encode(hashlib.new(algorithm, data).digest()).decode()
    sign(info, f"acme/__init__.py,{algorithm}={digest},{len(data)}\n" + without(info, "acme/__init__"))
    assert said(info) == ("complete", "", "")
    (info.parent / "acme" / "__init__.py").write_text("ONE = 2\n")

    assert said(info, strict=True) == ("partial", "acme/__init__.py", "differs from what RECORD says")


# -- what is not --------------------------------------------------------------------------------------


DAMAGES = {
    "a file is missing": ("acme/deep/two.py", None, "is missing"),
    "data is missing": ("acme/data.txt", None, "is missing"),
    "a file is cut": ("acme/deep/two.py", "TWO", "has 3 bytes, RECORD says 8"),
    "data is longer": ("acme/data.txt", "three and more", "has 14 bytes, RECORD says 5"),
    "code differs": ("acme/__init__.py", "ONE = 2\n", "differs from what RECORD says"),
    "the installer is missing": ("acme-1.0.dist-info/INSTALLER", None, "is missing"),
    "metadata is missing": ("acme-1.0.dist-info/METADATA", None, "is missing, empty or unreadable"),
    "metadata is empty": ("acme-1.0.dist-info/METADATA", "", "is missing, empty or unreadable"),
    "metadata says nothing": ("acme-1.0.dist-info/METADATA", "Name: acme\n", "has no Version"),
    "metadata is another's": (
        "acme-1.0.dist-info/METADATA",
        "Name: other\nVersion: 1.0\n",
        "names 'other', its folder 'acme'",
    ),
    "metadata differs": (
        "acme-1.0.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: acme\nVersion: 2.0\n",
        "differs from what RECORD says",
    ),
    "entry points differ": (
        "acme-1.0.dist-info/entry_points.txt",
        "[hotplug.brokers]\nacme = acme:Bronek\n",
        "differs from what RECORD says",
    ),
}


@pytest.mark.parametrize(
    ("damage", "signed"),
    [
        *((damage, True) for damage in DAMAGES),
        *((damage, False) for damage in DAMAGES if "installer" not in damage),
    ],
)
def test_partial(info, damage, signed):
    """
    Anything missing or different makes it partial, and is named.
    """
    path, text, why = DAMAGES[damage]
    target = info.parent / path
    target.unlink()
    if text is not None:
        target.write_text(text)
    sign(info, None if signed else without(info, "INSTALLER"))

    assert said(info) == ("partial", path, why)


RECORDS = {
    "empty": (b"", "is empty"),
    "cut": (b"acme/__init__.py,sha256=ab", "does not end with a newline: it is being written"),
    "not itself": (b"acme/__init__.py,,\n", "does not list itself: it is being written"),
    "text": (b"Hello, world\n", "has 2 fields instead of 3 in 'Hello, world'"),
    "binary": (b"\x7fELF\xff\xfe\n", "is not UTF-8 text"),
    "NUL": (b"a\0b,,\n", "holds a NUL character"),
    "no path": (b",,\n", "has a row without a path"),
    "size": (b"acme/__init__.py,,eight\n", "gives 'acme/__init__.py' the size 'eight'"),
    "quotes": (b'"acme,,\n', "is no table: unexpected end of data"),
    "hash": (b"acme/__init__.py,md6=abc,8\n", "has a hash in RECORD that nobody can check: 'md6=abc'"),
    "shake": (
        b"acme/__init__.py,shake_128=a,8\n",
        "has a hash in RECORD that nobody can check: 'shake_128=a'",
    ),
    "plain hash": (b"acme/__init__.py,abc,8\n", "has a hash in RECORD that nobody can check: 'abc'"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_malformed_record(info, case):
    """
    A RECORD that makes no sense makes a partial installation, never an error.
    """
    data, why = RECORDS[case]
    if case in {"hash", "shake", "plain hash", "size"}:
        data += b"acme-1.0.dist-info/RECORD,,\nacme-1.0.dist-info/INSTALLER,,\n"
    (info / "RECORD").write_bytes(data)

    state, _, said_why = said(info)

    assert (state, said_why) == ("partial", why)


def test_a_huge_record_is_not_read(info):
    """
    Nobody's RECORD has gigabytes.
    """
    with (info / "RECORD").open("wb") as file:
        file.truncate(1 << 40)

    assert said(info) == ("partial", "acme-1.0.dist-info/RECORD", "is longer than 67108864 bytes")


@pytest.mark.parametrize("name", ["RECORD", "METADATA"])
@pytest.mark.parametrize("thing", ["pipe", "folder", "loop"])
def test_what_is_no_file_blocks_nobody(info, name, thing):
    """
    A pipe, a folder or a link to itself in place of a telling file is partial, at once.
    """
    (info / name).unlink()
    {"pipe": os.mkfifo, "folder": os.mkdir, "loop": lambda path: path.symlink_to(path)}[thing](info / name)

    state, file, _ = said(info)

    assert (state, file) == ("partial", f"acme-1.0.dist-info/{name}")


def test_a_pipe_among_the_files(info):
    """
    A pipe in place of a module is no module, and is not opened.
    """
    (info.parent / "acme" / "__init__.py").unlink()
    os.mkfifo(info.parent / "acme" / "__init__.py")
    sign(info)

    assert said(info) == ("partial", "acme/__init__.py", "is no regular file")


def test_a_dist_info_that_is_a_file(environment):
    """
    A file with the name of a dist-info is partial.
    """
    path = environment.folder / "acme-1.0.dist-info"
    path.write_text("")

    assert said(path) == ("partial", "acme-1.0.dist-info", "is no folder")


def test_unreadable_code(info, monkeypatch):
    """
    A file that cannot be read cannot be verified.
    """
    real = os.open

    def refuse(path: str, flags: int) -> int:
        if path.endswith(".py"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags)

    monkeypatch.setattr(_installation.os, "open", refuse)

    assert said(info) == ("partial", "acme/__init__.py", "cannot be read: Permission denied")


def test_a_dist_info_that_cannot_be_seen(info, monkeypatch):
    """
    What nobody may look at is not gone.
    """

    def refuse(path: object, **_: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(_installation.os, "stat", refuse)

    assert said(info) == ("partial", "acme-1.0.dist-info", "cannot be seen: Permission denied")


def test_a_name_that_no_file_can_have():
    """
    An impossible path is partial, not an error.
    """
    assert installation("/tmp/a\0b-1.0.dist-info").state == "partial"


@pytest.mark.parametrize("name", ["~cme-1.0.dist-info", "-acme-1.0.dist-info"])
def test_set_aside(info, name):
    """
    What an installer has renamed is no installation, complete as it may be.
    """
    aside = info.rename(info.with_name(name))

    assert said(aside) == ("partial", name, "was set aside, or left behind, by an installer")


@pytest.mark.parametrize("which", ["RECORD", "dist-info"])
def test_changes_under_the_eyes(info, monkeypatch, which, tick):
    """
    Where RECORD or the dist-info changes while it is looked at, nothing is concluded.
    """
    real = _installation.rows_of

    def rows_of(data: bytes) -> object:
        tick()
        if which == "RECORD":
            sign(info)
        else:
            (info / "entry_points.txt").replace(info / "new")
            (info / "new").replace(info / "entry_points.txt")
        return real(data)

    monkeypatch.setattr(_installation, "rows_of", rows_of)

    assert said(info) == ("partial", "acme-1.0.dist-info/RECORD", "changes while it is looked at")


def test_vanishes_under_the_eyes(info, monkeypatch):
    """
    A dist-info that is renamed while it is looked at is gone; it is not one that never had a RECORD.
    """

    def read_record(path: str) -> bytes:
        info.rename(info.with_name("~cme-1.0.dist-info"))
        return Path(path).read_bytes()

    monkeypatch.setattr(_installation, "read_record", read_record)

    found = installation(str(info))
    assert (found.state, found.file, found.why) == ("gone", "", "")


def test_vanishes_after_the_first_look(info, monkeypatch):
    """
    What is missing in a dist-info that was taken away meanwhile is no fault of an installation long ago.
    """
    import shutil

    def look(path: str) -> object:
        shutil.rmtree(info, ignore_errors=True)
        return real(path)

    real = _installation.look
    monkeypatch.setattr(_installation, "look", look)
    assert installation(str(info)).state == "gone"


def test_cannot_be_seen_any_more(info, monkeypatch):
    """
    A fault stays one where nobody can tell whether the dist-info is still there.
    """
    (info / "METADATA").unlink()

    def forbidden(path: object) -> object:
        raise PermissionError(path)

    monkeypatch.setattr(_installation.os, "lstat", forbidden)
    assert installation(str(info)).state == "partial"


def test_appears_under_the_eyes(info, monkeypatch):
    """
    A RECORD that was not there a moment ago is not judged yet.
    """
    real = _installation.look
    record = str(info / "RECORD")
    monkeypatch.setattr(_installation, "look", lambda path: None if path == record else real(path))

    assert said(info) == ("partial", "acme-1.0.dist-info/RECORD", "changes while it is looked at")


def test_a_dist_info_that_cannot_be_listed(info, monkeypatch):
    """
    What cannot be listed is judged by what can be read.
    """

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(_installation.os, "listdir", refuse)

    assert said(info) == ("complete", "", "")


# -- hand edits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["in place", "by rename", "longer"])
@pytest.mark.parametrize("path", ["acme/__init__.py", "acme-1.0.dist-info/entry_points.txt"])
def test_edited_by_hand(info, tick, path, way):
    """
    What was edited after the installation is not held against it, unless one looks strictly.
    """
    target = info.parent / path
    tick()
    text = target.read_text().replace("1", "2").replace("Broker", "Bronek") + (
        "\n" if way == "longer" else ""
    )
    if way == "by rename":
        target.with_name("new").write_text(text)
        target.with_name("new").replace(target)
    else:
        target.write_text(text)

    assert said(info) == ("complete", "", "")
    why = (
        f"has {len(text)} bytes, RECORD says {len(text) - 1}"
        if way == "longer"
        else "differs from what RECORD says"
    )
    assert said(info, strict=True) == ("partial", path, why)


def test_deleted_by_hand(info, tick):
    """
    What was deleted after the installation is missing.
    """
    tick()
    (info.parent / "acme" / "data.txt").unlink()

    assert said(info) == ("partial", "acme/data.txt", "is missing")


def test_unsigned_nothing_is_spared(info, tick):
    """
    Before an installer has signed, what is newer than RECORD is its own unfinished work.
    """
    sign(info, without(info, "INSTALLER"))
    tick()
    (info.parent / "acme" / "__init__.py").write_text("ONE")

    assert said(info) == ("partial", "acme/__init__.py", "has 3 bytes, RECORD says 8")


def test_put_back_nothing_older_is_spared(info, tick):
    """
    When a failed upgrade puts the dist-info back, the new version's files beside it are no hand edits.
    """
    tick()
    aside = info.rename(info.with_name("~cme-1.0.dist-info"))
    (info.parent / "acme" / "__init__.py").write_text("ONE = 2\n")
    tick()
    aside.rename(info)

    assert said(info) == ("partial", "acme/__init__.py", "differs from what RECORD says")


# -- what is nobody's to judge ------------------------------------------------------------------------


def test_foreign_has_an_installer_but_no_record(environment):
    """
    Another packager's installation is foreign; its digest is that of what it says of itself.
    """
    info = environment.install("acme", "1.0", advertises=POINTS, record=False)
    texts = [(info / name).read_bytes() for name in ("METADATA", "entry_points.txt")]

    found = installation(str(info))

    assert (found.state, found.digest) == ("foreign", hashlib.sha256(b"".join(texts)).hexdigest())
    assert found.changed_at == pytest.approx(info.stat().st_ctime)


def test_plain_path_is_foreign(environment):
    """
    A dist-info without RECORD and INSTALLER, with or without entry points, is foreign.
    """
    info = environment.install("acme", "1.0", record=False)
    (info / "INSTALLER").unlink()

    assert installation(str(info)).state == "foreign"


@pytest.mark.parametrize("trace", ["WHEEL", "site-packages"])
def test_unpacked_and_not_recorded_yet(environment, trace):
    """
    Without RECORD and INSTALLER, what was unpacked by an installer is one that it did not finish.
    """
    info = environment.install("acme", "1.0", record=False)
    (info / "INSTALLER").unlink()
    if trace == "WHEEL":
        (info / "WHEEL").write_text("")
    else:
        info = moved(info, trace)

    found = installation(str(info))

    assert (found.state, found.why) == ("partial", "is missing: the installation is incomplete")
    assert found.file == str(info / "RECORD")


def moved(info: Path, folder: str) -> Path:
    place = info.parent.with_name(folder)
    place.mkdir()
    return info.rename(place / info.name)


def test_half_removed_is_not_foreign(info):
    """
    What uv leaves when it is killed while it removes (entry points without all the rest) is partial.
    """
    for name in ("INSTALLER", "METADATA", "RECORD"):
        (info / name).unlink()

    assert said(info) == ("partial", "acme-1.0.dist-info/METADATA", "is missing, empty or unreadable")


def test_dpkg_is_foreign(info):
    """
    In Debian's own folder RECORD is the build's, and does not fit what dpkg installed.
    """
    (info.parent / "acme" / "data.txt").unlink()
    place = info.parent.with_name("python3")
    place.mkdir()
    info.parent.rename(place / "dist-packages")

    assert installation(str(place / "dist-packages" / info.name)).state == "foreign"


@pytest.mark.parametrize("form", ["folder", "file"])
def test_egg_info_is_foreign(environment, form):
    """
    An egg-info is foreign, in either form, and changes its digest with its metadata.
    """
    info = environment.folder / "acme-1.0.egg-info"
    metadata = info
    if form == "folder":
        info.mkdir()
        metadata = info / "PKG-INFO"
    digests = []
    for version in ("1.0", "2.0", "1.0"):
        metadata.write_text(f"Name: acme\nVersion: {version}\n")
        found = installation(str(info))
        digests.append(found.digest)
        assert found.state == "foreign"

    assert digests[0] == digests[2] != digests[1]


def test_archives_are_foreign(tmp_path):
    """
    A distribution in a zip file is foreign, known by its texts, and gone when it is not in there.
    """
    archive = tmp_path / "acme.zip"
    digests = []
    for text in ("one", "two", "one"):
        with ZipFile(archive, "w") as file:
            file.writestr("acme-1.0.dist-info/METADATA", text)
            file.writestr("code.py", text)
        digests.append(installation(str(archive / "acme-1.0.dist-info")).digest)
    found = installation(str(archive / "acme-1.0.dist-info"))

    assert digests[0] == digests[2] != digests[1]
    assert (found.state, found.changed_at) == ("foreign", pytest.approx(archive.stat().st_ctime))
    assert installation(str(archive / "other-1.0.dist-info")).state == "gone"


def test_what_is_no_archive_is_foreign(tmp_path):
    """
    A path that leads into a file which is no archive is nothing that anybody can judge.
    """
    (tmp_path / "acme.zip").write_text("no archive")

    assert installation(str(tmp_path / "acme.zip" / "acme-1.0.dist-info")).state == "foreign"


def test_a_finders_own_is_foreign():
    """
    A distribution that lies nowhere is foreign.
    """
    assert installation("").state == "foreign"


# -- what is remembered -------------------------------------------------------------------------------


def test_unchanged_is_not_looked_at_again(info, later, no_reading):
    """
    A complete installation that does not change is looked at once.
    """
    later()
    first = installation(str(info))
    no_reading()

    assert installation(str(info)) is first


def test_young_is_looked_at_again(info, tick):
    """
    While RECORD is young a file that changes is seen, whatever the stamps of the dist-info say.
    """
    before = installation(str(info))
    tick()
    (info.parent / "acme" / "__init__.py").write_text("ONE = 2\n")
    edited = installation(str(info))
    (info.parent / "acme" / "__init__.py").unlink()

    assert (before.state, edited.state) == ("complete", "complete")
    assert edited.changed_at > before.changed_at
    assert installation(str(info)).state == "partial"


def test_strict_is_looked_at_again(info, later, tick):
    """
    Who looks strictly sees the files as they are.
    """
    later()
    installation(str(info))
    tick()
    (info.parent / "acme" / "__init__.py").write_text("ONE = 2\n")

    assert installation(str(info)).state == "complete"
    assert installation(str(info), strict=True).state == "partial"
    assert installation(str(info)).state == "complete"


@pytest.mark.parametrize(
    ("script", "first"),
    [
        ("../a/script", "middle.py"),
        ("../a/script", "../a/script"),
        ("../zz/script", "middle.py"),
        ("../zz/script", "above.py"),
    ],
)
def test_the_first_file_to_go_is_missed(environment, later, script, first):
    """
    A removal that begins with the code is seen, though the dist-info is as it was: uv goes by the order
    of RECORD, pip by the order of the paths, wherever they lead.
    """
    place = environment.folder / script
    place.parent.mkdir()
    place.write_text("")
    info = environment.install("zeta", "1.0", files={"middle.py": "", "above.py": "", "other.py": ""})
    sign(info, (info / "RECORD").read_text() + f"{script},,\n")
    later()
    assert installation(str(info)).state == "complete"
    (environment.folder / first).unlink()

    assert installation(str(info)).state == "partial"


def test_only_what_is_complete_is_remembered(info, later):
    """
    What is not complete is looked at each time: it may be repaired in place.
    """
    data = info.parent / "acme" / "data.txt"
    later()
    data.unlink()
    assert installation(str(info)).state == "partial"
    data.write_text("three")

    assert installation(str(info)).state == "complete"


def test_memory_is_bounded(environment, later, monkeypatch, no_reading):
    """
    Of many installations the last ones are remembered.
    """
    monkeypatch.setattr(_installation, "REMEMBERED", 2)
    later()
    infos = [environment.install(f"acme{n}", "1.0", files={f"acme{n}.py": ""}) for n in range(3)]
    for info in infos:
        installation(str(info))
    no_reading()

    assert [installation(str(info)).state for info in infos[1:]] == ["complete", "complete"]
    with pytest.raises(pytest.fail.Exception, match="read again"):
        installation(str(infos[0]))


def test_forgotten(info, later, no_reading):
    """
    What discovery forgets is looked at anew.
    """
    later()
    installation(str(info))
    _discovery.forget()
    no_reading()

    with pytest.raises(pytest.fail.Exception, match="read again"):
        installation(str(info))


# -- what pip sets aside ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "project", "is_its"),
    [
        ("~cme_broker-1.0.dist-info", "acme-broker", True),
        ("~cme_broker-1.0.dist-info", "Acme.Broker", True),
        ("~cme_broker-2.0.dist-info", "", True),
        ("~-me_broker-1.0.dist-info", "acme-broker", True),
        ("~~.e_broker-1.0.dist-info", "acme-broker", True),
        ("~acme_broker-1.0.dist-info", "acme-broker", True),
        ("~%3acme_broker-1.0.dist-info", "acme-broker", True),
        ("~-1.0.dist-info", "a", True),
        ("~xme_broker-1.0.dist-info", "acme-broker", False),
        ("~cme_broker_too-1.0.dist-info", "acme-broker", False),
        ("~roker-1.0.dist-info", "acme-broker", False),
        ("~acme_too-1.0.dist-info", "acme", False),
        ("acme_broker-1.0.dist-info", "acme-broker", False),
        ("~cme_broker", "acme-broker", False),
    ],
)
def test_backups(tmp_path, name, project, is_its):
    """
    What pip sets aside is known by its name, whichever of pip's names it got.
    """
    (tmp_path / name).mkdir()

    assert backups(str(tmp_path), project) == ((str(tmp_path / name),) if is_its else ())


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize(
    ("place", "project", "is_its"),
    [
        ("~ite-packages", "acme", True),
        ("~ite-packages", "", True),
        ("~ite-packages", "other", False),
        ("~ther", "acme", False),
        ("other", "acme", False),
    ],
)
def test_a_whole_folder_set_aside(tmp_path, place, project, is_its, is_there):
    """
    A site folder that held nothing else is set aside as a whole, with the dist-info in it.
    """
    info = tmp_path / place / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    if is_there:
        (tmp_path / "site-packages").mkdir()

    assert backups(f"{tmp_path}/site-packages/", project) == ((str(info),) if is_its else ())


def test_backups_of_no_folder(tmp_path):
    """
    Where nothing can be listed, nothing was set aside.
    """
    assert backups(str(tmp_path / "nowhere" / "site"), "acme") == ()
