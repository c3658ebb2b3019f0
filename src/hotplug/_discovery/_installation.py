"""
Says whether an installation is complete, by its contents alone.

What pip and uv leave at any instant, and what they leave for ever when they are killed, is `partial`
or `gone`; only what RECORD lists, all of it and as it lists it, is `complete`. Nothing is concluded
from versions, from who is newer, or from the order in which events arrive.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from hotplug._discovery._distribution import READ_FLAGS, judge, metadata_of, read_file
from hotplug._discovery._folder import LEFTOVER_MARKS
from hotplug._discovery._record import MalformedRecord, is_outside, read_record, rows_of
from hotplug._discovery._stamps import RENAMES_SHOW, look, stamp_changed_ns
from hotplug._discovery._text import canonical, named_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from hotplug._discovery._record import Row
    from hotplug._discovery._stamps import Stamp, Watched

# A look at a thousand files cannot afford an object for each of them.
# ruff: noqa: PTH116, PTH118, PTH119, PTH208

__all__ = ["Installation", "InstallationState", "backups", "forget_installations", "installation"]

InstallationState = Literal["complete", "unconfirmed", "partial", "gone", "foreign"]

YOUNG_NS: Final = 10_000_000_000
"""While RECORD is younger, nothing is remembered: whoever wrote it may still be at work."""
REMEMBERED: Final = 256
VERIFIED: Final = (".py", ".so", ".pyd", ".dist-info/entry_points.txt", ".dist-info/METADATA")
BYTECODE: Final = "__pycache__/"
SITE_NAME: Final = "site-packages"
DPKG_FOLDER: Final = os.path.join("python3", "dist-packages")
"""Debian's own: its RECORDs are those of the builds, before files were stripped, moved and left out."""
SEPARATORS: Final = os.sep + (os.altsep or "")
MOVING: Final = "changes while it is looked at"
PLACEHOLDERS: Final = "~-.=%0123456789"
"""What pip puts in place of the first letters of what it sets aside."""


@dataclass(frozen=True, slots=True)
class Installation:
    """
    How far an installation has come.

    *state*: ``complete``; ``unconfirmed`` (all is there, but no installer has signed: it is still at
    work, or never signs); ``partial`` (*file* is missing or different, *why* says how); ``gone``;
    ``foreign`` (no RECORD: only its stamps can be watched). *digest* tells one set of contents from
    the next, and says nothing of versions and times. *changed_at* is the newest change seen (Unix
    seconds, by the clock that no program sets back).
    """

    state: InstallationState
    digest: str
    why: str = ""
    file: str = ""
    changed_at: float = 0.0


class _Memory:
    """What was found complete; replaced as a whole, so that readers need no lock."""

    known: dict[str, _Known] = {}  # noqa: RUF012 - never changed in place


class _Known:
    """A complete installation, and the few stamps of which one changes first whoever takes it away."""

    __slots__ = ("installation", "record_changed", "watched")

    def __init__(self, found: Installation, record_changed: int, watched: Iterable[Watched]) -> None:
        self.installation = found
        self.record_changed = record_changed
        self.watched = tuple(watched)

    def holds(self) -> bool:
        if time.time_ns() - self.record_changed < YOUNG_NS:
            return False
        return all(look(path) == stamp for path, stamp in self.watched)


def installation(path: str, *, strict: bool = False) -> Installation:
    """
    How far the installation whose dist-info is *path* has come. Never raises; thread-safe.

    A recorded file that changed after RECORD was edited by hand: it is not held against the
    installation, unless *strict*. Ask strictly before code is loaded that was not served before, and
    where two dist-infos claim one distribution: an installer that writes over another's files looks
    like such an edit. An unchanged complete installation is recognised by five stamps.
    """
    if not strict and (known := _Memory.known.get(path)) is not None and known.holds():
        return known.installation
    inspection = _Inspection(path, strict=strict)
    found = inspection.run()
    others = [item for item in _Memory.known.items() if item[0] != path]
    if found.state == "complete":
        others.append((path, _Known(found, inspection.record_changed, inspection.sentinels)))
    _Memory.known = dict(others[-REMEMBERED:])
    return found


def forget_installations() -> None:
    """Empty the memory of this process."""
    _Memory.known = {}


def backups(folder: str, project: str = "") -> tuple[str, ...]:
    """
    The dist-infos that pip set aside in *folder* (``~cme-1.0.dist-info``), those of *project* if given.

    While there is one, its project is being upgraded or removed, and may yet come back; one that stays
    was left by a pip that was killed. Where a folder holds nothing else pip sets the folder itself aside,
    and what lies in that counts.
    """
    folder = folder.rstrip(SEPARATORS)
    above, name = os.path.split(folder)
    wanted = canonical(project)
    found = [os.path.join(folder, each) for each in _infos_in(folder) if _is_backup(each, wanted)]
    for aside in _names_in(above):
        if aside[0] == "~" and _is_aside(aside, name):
            place = os.path.join(above, aside)
            found += [os.path.join(place, each) for each in _infos_in(place) if _is_of(each, wanted)]
    return tuple(sorted(found))


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _infos_in(folder: str) -> list[str]:
    return [name for name in _names_in(folder) if name.endswith(".dist-info")]


def _is_of(info: str, project: str) -> bool:
    return not project or canonical(named_in(info)[0]) == project


def _is_backup(info: str, project: str) -> bool:
    """Whether pip calls a dist-info of *project* so when it sets it aside."""
    claimed = named_in(info)[0].lower().replace("_", "-").replace(".", "-")
    return info[0] == "~" and (not project or _is_aside(claimed, project))


def _is_aside(aside: str, name: str) -> bool:
    """Whether pip makes *aside* of *name*: placeholders instead of its first letters, or before them."""
    kept = 0
    for ours, theirs in zip(reversed(name), reversed(aside), strict=False):
        if ours != theirs:
            break
        kept += 1
    added = aside[: len(aside) - kept]
    return len(name) in {len(aside), kept} and not added.strip(PLACEHOLDERS)


class _Inspection:
    """One look at one installation."""

    def __init__(self, path: str, *, strict: bool) -> None:
        self._info = path
        self._folder, self._file = os.path.split(path.rstrip(SEPARATORS))
        self._strict = strict
        self._faults: list[tuple[str, str]] = []
        self._newest = 0
        self._digest = ""
        self.record_changed = 0
        self.sentinels: list[Watched] = []

    def run(self) -> Installation:
        state = self._judge()
        if self._faults and self._is_gone_by_now():  # while we looked: what was missing says nothing
            return Installation("gone", self._digest)
        file, why = self._faults[0] if self._faults else ("", "")
        return Installation("partial" if why else state, self._digest, why, file, self._newest / 1e9)

    def _is_gone_by_now(self) -> bool:
        try:
            os.lstat(self._info)
        except FileNotFoundError:
            return True
        except (OSError, ValueError):
            return False
        return False

    def _judge(self) -> InstallationState:
        try:
            seen = os.stat(self._info)
        except (OSError, ValueError) as error:
            return self._judge_unseen(error)
        if not self._file.endswith(".dist-info") or self._folder.endswith(DPKG_FOLDER):
            return self._judge_foreign()
        if not stat.S_ISDIR(seen.st_mode):
            return self._blame(self._info, "is no folder")
        return self._judge_folder()

    def _judge_unseen(self, error: Exception) -> InstallationState:
        code = error.errno if isinstance(error, OSError) else None
        if code == errno.ENOENT and self._info:
            return "gone"
        if code == errno.ENOTDIR or not self._info:
            return self._judge_archived()
        return self._blame(self._info, f"cannot be seen: {_said(error)}")

    def _judge_archived(self) -> InstallationState:
        """Whatever lies in no folder: an archive, or a finder's own place."""
        from hotplug._discovery._identity import archives_of

        self._digest = _digest_of(b"")
        for archive in map(str, archives_of(Path(self._info))):
            self._note(look(archive))
            texts = _archived(archive, os.path.relpath(self._info, archive).replace(os.sep, "/"))
            if texts is None:
                return "gone"
            self._digest = _digest_of(texts)
        return "foreign"

    def _judge_foreign(self) -> InstallationState:
        """What has no RECORD: nothing can be said but what it says of itself."""
        metadata, _ = metadata_of(self._folder, self._file)
        self._note(look(self._info))
        data = b""
        for path in (metadata, os.path.join(self._info, "entry_points.txt")):
            self._note(look(path))
            try:
                data += read_file(path)
            except OSError:
                continue  # silent about it, as far as anybody can see
        self._digest = _digest_of(data)
        return "foreign"

    def _judge_folder(self) -> InstallationState:
        record = os.path.join(self._info, "RECORD")
        stamps = look(self._info), look(record)
        files = self._note_all()
        self._identify()
        try:
            data = read_record(record)
            self._digest = _digest_of(data)
            rows = rows_of(data)
        except FileNotFoundError:
            return self._judge_unrecorded(files, stamps[0])
        except (OSError, MalformedRecord) as error:
            return self._blame(record, _said(error))
        info_stamp, record_stamp = stamps
        if info_stamp is None or record_stamp is None:
            return self._blame(record, MOVING)
        return self._judge_rows(rows, info_stamp, record_stamp)

    def _judge_unrecorded(self, files: Collection[str], info: Stamp | None) -> InstallationState:
        """Without RECORD it is somebody else's, unless it looks like what an installer leaves, if killed."""
        if look(self._info) != info:
            return self._blame(self._info, MOVING)
        is_unpacked = "WHEEL" in files or os.path.basename(self._folder) == SITE_NAME
        if is_unpacked and "INSTALLER" not in files:
            return self._blame(
                os.path.join(self._info, "RECORD"), "is missing: the installation is incomplete"
            )
        return self._judge_foreign()

    def _judge_rows(self, rows: list[Row], info: Stamp, record: Stamp) -> InstallationState:
        path = os.path.join(self._info, "RECORD")
        listed = {row[0] for row in rows}
        if f"{self._file}/RECORD" not in listed:
            self._blame(path, "does not list itself: it is being written")
        confirmed = f"{self._file}/INSTALLER" in listed
        finished = stamp_changed_ns(record)
        if RENAMES_SHOW and info[1] > info[0]:
            finished = max(finished, info[1])  # pip put it back, after who knows what happened beside it
        spared = finished if confirmed and not self._strict else None
        seen, telling = self._look_at(rows, spared)
        if not self._faults:
            self._verify(telling)
        if not self._faults and (look(self._info), look(path)) != (info, record):
            self._blame(path, MOVING)
        self.record_changed = finished
        self.sentinels = [(self._info, info), (path, record), *_first_to_go(seen)]
        return "complete" if confirmed else "unconfirmed"

    def _look_at(self, rows: Iterable[Row], spared: int | None) -> tuple[_Seen, list[tuple[str, str]]]:
        """Every file's stamp, and those whose contents tell; the newer than *spared* were edited by hand."""
        seen: _Seen = {}
        telling: list[tuple[str, str]] = []
        prefix = self._folder + os.sep
        for path, digest, size in rows:
            if BYTECODE in path:
                continue  # made and removed by whoever imports
            outside = is_outside(path)
            place = os.path.join(self._folder, path) if outside else prefix + path
            stamp = seen[place] = look(place)
            if stamp is None:
                self._blame(place, "is missing")
                continue
            if outside:
                continue
            changed = stamp_changed_ns(stamp)
            self._newest = max(self._newest, changed)
            if spared is not None and changed > spared:
                continue
            if not stat.S_ISREG(stamp[4]):
                self._blame(place, "is no regular file")
            elif size is not None and stamp[5] != size:
                self._blame(place, f"has {stamp[5]} bytes, RECORD says {size}")
            elif digest and path.endswith(VERIFIED):
                telling.append((place, digest))
        return seen, telling

    def _verify(self, telling: Iterable[tuple[str, str]]) -> None:
        """Compare contents, up to the first that differs."""
        for place, digest in telling:
            if why := _why_not(place, digest):
                self._blame(place, why)
                return

    def _identify(self) -> None:
        claimed = named_in(self._file)[0]
        identity, (metadata, _) = judge(metadata_of(self._folder, self._file))
        if self._file[0] in LEFTOVER_MARKS:
            self._blame(self._info, "was set aside, or left behind, by an installer")
        elif not identity.is_sound:
            faults = [reason for _, reason in identity.faults] or ["is missing, empty or unreadable"]
            self._blame(metadata, faults[0])
        elif canonical(identity.name) != canonical(claimed):
            self._blame(metadata, f"names {identity.name!r}, its folder {claimed!r}")

    def _note_all(self) -> list[str]:
        """Take the times of the dist-info and its files into account; what lies there is returned."""
        files = _names_in(self._info)
        self._note(look(self._info))
        for file in files:
            self._note(look(os.path.join(self._info, file)))
        return files

    def _note(self, stamp: Stamp | None) -> None:
        if stamp is not None:
            self._newest = max(self._newest, stamp_changed_ns(stamp))

    def _blame(self, path: str, why: str) -> InstallationState:
        self._faults.append((path, why))
        return "partial"


_Seen = dict[str, "Stamp | None"]


def _first_to_go(seen: _Seen) -> Iterable[Watched]:
    """
    The files that an uninstallation takes away first, wherever RECORD and dist-info come later.

    uv goes by the order of RECORD, pip by the order of the paths.
    """
    real = {os.path.normpath(path): (path, stamp) for path, stamp in seen.items()}
    return [next(iter(seen.items())), real[min(real)]]


def _why_not(path: str, digest: str) -> str:
    """Why the file is not what *digest* says; empty if it is."""
    import hashlib
    from base64 import urlsafe_b64encode

    algorithm, _, expected = digest.partition("=")
    if algorithm not in hashlib.algorithms_guaranteed or algorithm.startswith("shake"):
        return f"has a hash in RECORD that nobody can check: {digest!r:.80}"
    try:
        with open(os.open(path, READ_FLAGS), "rb") as file:  # noqa: PTH123 - a pipe would block
            found = hashlib.file_digest(file, algorithm).digest()
    except (OSError, ValueError) as error:
        return f"cannot be read: {_said(error)}"
    if urlsafe_b64encode(found).rstrip(b"=") != expected.encode().rstrip(b"="):
        return "differs from what RECORD says"
    return ""


def _archived(archive: str, inside: str) -> bytes | None:
    """What the dist-info or egg-info *inside* the archive says of itself; None if it is not there."""
    import zipfile

    try:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if name.startswith(f"{inside}/")]
            wanted = [f"{inside}/{file}" for file in ("METADATA", "PKG-INFO", "entry_points.txt")]
            return b"".join(opened.read(name) for name in wanted if name in names) if names else None
    except Exception:  # noqa: BLE001 - the border to whatever the archive holds
        return b""


def _digest_of(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _said(error: Exception) -> str:
    return str((error.strerror if isinstance(error, OSError) else None) or error)
