"""Looks at one distribution closely: what it advertises, who it is, whether it is all there yet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from hotplug._discovery._stamps import NEVER, RACY_NS, look, stamp_changed_ns
from hotplug._discovery._text import Identity, canonical, named_in, read_entry_points, read_identity
from hotplug._records import PluginRecord, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from hotplug._discovery._stamps import Watched
    from hotplug._discovery._text import Advertised, Fault

__all__ = [
    "CHUNK",
    "Found",
    "LEFT_OUT",
    "LIMIT",
    "READ_FLAGS",
    "inspect",
    "is_plainly_silent",
    "is_sound",
    "judge",
    "metadata_name",
    "metadata_of",
    "read_file",
    "read_head",
    "spelled",
    "version_order",
]

LIMIT: Final = 1 << 20
CHUNK: Final = 1 << 12
HEAD: Final = 1 << 9  # who it is stands in the first lines of METADATA
READ_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
INCOMPLETE: Final = "the installation is incomplete"
LEFT_OUT: Final = "its plugins are left out"
EXPECTED: Final = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)
"""Why a file cannot be read that shows in its stamp as soon as it can; a lack of descriptors does not."""
YOUNG_NS: Final = 60_000_000_000
"""A distribution younger than this may still be in the making, and its RECORD is asked."""


class Found:
    """A distribution that contributes, or is broken; *watched* is what tells that it changed after all."""

    __slots__ = ("problems", "records", "watched")

    def __init__(
        self,
        records: Iterable[PluginRecord] = (),
        problems: Iterable[Problem] = (),
        watched: Iterable[Watched] = (),
    ) -> None:
        self.records = tuple(records)
        self.problems = tuple(problems)
        self.watched = tuple(watched)


def metadata_name(file: str) -> str:
    """The metadata file of a dist-info or egg-info folder."""
    return "METADATA" if file.endswith(".dist-info") else "PKG-INFO"


def read_head(path: str, size: int) -> bytes:
    """The first *size* bytes of the file, or fewer; a pipe or device in its place blocks nobody."""
    file = os.open(path, READ_FLAGS)
    try:
        return os.read(file, size)
    finally:
        os.close(file)


def read_file(path: str) -> bytes:
    """The whole file, up to `LIMIT` bytes; a pipe or device in its place blocks nobody."""
    parts: list[bytes] = []
    left = LIMIT
    file = os.open(path, READ_FLAGS)
    try:
        while left:
            wanted = min(left, 1 << 16)
            part = os.read(file, wanted)
            parts.append(part)
            left -= len(part)
            if len(part) < wanted:
                break  # a regular file ends where a read comes back short
    finally:
        os.close(file)
    return b"".join(parts)


def metadata_of(folder: str, file: str) -> Watched:
    """The metadata of the dist-info or egg-info *file* in *folder*, and its stamp."""
    info = f"{folder}{os.sep}{file}"
    metadata = f"{info}{os.sep}{metadata_name(file)}"
    stamp = look(metadata)
    if stamp is None and file.endswith(".egg-info"):
        return info, look(info)  # the old form: one file, which is the metadata
    return metadata, stamp


def is_sound(metadata: Watched) -> bool:
    """Whether the metadata says of what distribution and version it is; if not, it hides nobody."""
    return judge(metadata)[0].is_sound


def judge(metadata: Watched) -> tuple[Identity, Watched]:
    """Who the metadata says it is, and what to watch to see it say something else."""
    path, stamp = metadata
    if stamp is None or not stamp[5]:
        return Identity([]), metadata
    try:
        return _identity_in(path), metadata
    except EXPECTED:
        return Identity([]), metadata
    except OSError:
        return Identity([]), (path, NEVER)


def _identity_in(metadata: str) -> Identity:
    head = read_head(metadata, HEAD)
    identity = read_identity(head[: head.rfind(b"\n") + 1])
    return read_identity(read_file(metadata)) if identity.faults else identity


def version_order(version: str) -> tuple[bool, object]:
    """A key that sorts versions, with what is no version first."""
    from packaging.version import InvalidVersion, Version

    try:
        return True, Version(version.replace("_", "-"))
    except InvalidVersion:
        return False, version


def is_plainly_silent(info: str, *, young: bool) -> bool:
    """Whether a dist-info without entry points is sound, and will not get any."""
    stamp = look(info + os.sep + "METADATA")
    return stamp is not None and stamp[5] > 0 and (not young or _is_recorded(info, silent=True))


def _is_recorded(info: str, *, silent: bool) -> bool:
    """Whether RECORD has the last word of an installer; pip and uv both write a first one early."""
    try:
        record = read_file(info + os.sep + "RECORD")
    except OSError:
        return False
    return b"/RECORD," in record and (
        b"/entry_points.txt," not in record if silent else b"/INSTALLER," in record
    )


def inspect(
    folder: str,
    file: str,
    data: bytes | None,
    groups: Mapping[str, str],
    editables: Collection[str],
    now: int | None,
) -> Found | None:
    """
    What the dist-info or egg-info *file* in *folder* advertises for *groups*.

    *data* is the first piece of its entry points, if it could be read; *now* is None where nobody has
    installed anything for long. The answer None: it advertises nothing, nothing is wrong with it, and
    nothing more will come.
    """
    inspection = _Inspection(folder, file, groups, editables)
    inspection.run(data)
    if inspection.is_final(now):
        if inspection.records or inspection.problems:
            return Found(inspection.records, inspection.problems)
        return None
    # What was read before these stamps may be older than they are: look again.
    watched = inspection.watched()
    inspection.run(None)
    return Found(inspection.records, inspection.problems, watched)


class _Inspection:
    """One close look at a distribution; may be run again."""

    def __init__(self, folder: str, file: str, groups: Mapping[str, str], editables: Collection[str]) -> None:
        self._info = f"{folder}{os.sep}{file}"
        self._entry_points = self._info + os.sep + "entry_points.txt"
        self._metadata = self._info + os.sep + metadata_name(file)
        self._is_egg = not file.endswith(".dist-info")
        self._claimed, self._claimed_version = named_in(file, folder)
        self._name = self._claimed
        self._in_source = self._is_egg and not self._claimed_version
        self._groups = groups
        self._editables = editables
        self.records: list[PluginRecord] = []
        self.problems: list[Problem] = []
        self._silent = False
        self._doubtful = False

    def run(self, data: bytes | None) -> None:
        self.records.clear()
        self.problems.clear()
        self._name = self._claimed.replace("_", "-")
        self._silent = False
        if data is not None and len(data) < CHUNK:
            self._take(data)
            return
        try:
            self._take(read_file(self._entry_points))
        except FileNotFoundError:
            self._silent = True
            if not self._is_egg:
                self._look_for_metadata()
        except OSError as error:
            if not self._is_egg or not isinstance(error, NotADirectoryError):
                self._identify()
                self._blame(self._entry_points, [self._unreadable(error)])

    def is_final(self, now: int | None) -> bool:
        """Whether whatever happens to this distribution will show in the stamp of the folder it lies in."""
        if self.problems:
            return False  # somebody may be about to repair it in place
        if self._in_source and look(self._info):
            return False  # build tools rewrite it in place
        if now is None or self._is_egg or not (self.records or self._silent):
            return True
        stamp = look(self._info)
        if stamp is None:
            return True
        age = now - stamp_changed_ns(stamp)
        return age >= YOUNG_NS or (age >= RACY_NS and _is_recorded(self._info, silent=self._silent))

    def watched(self) -> list[Watched]:
        """What to look at to see this distribution change, as it is now."""
        if self._doubtful:
            return [(self._info, NEVER)]
        return [(path, look(path)) for path in (self._info, self._entry_points, self._metadata)]

    def _take(self, data: bytes) -> None:
        points, faults = read_entry_points(data, self._groups)
        if not data:
            faults.append((None, "is empty"))
        elif len(data) >= LIMIT:
            faults.append((None, f"is longer than {LIMIT} bytes; the rest was not read"))
        if not points and not faults:
            return
        identity = self._identify()
        self._blame(self._entry_points, faults)
        if not points:
            return
        self._blame(self._metadata, identity.faults)
        if identity.is_sound:
            self._record(points, identity.version)

    def _record(self, points: Iterable[Advertised], version: str) -> None:
        editable = self._is_editable(self._name)
        for group, point, value in points:
            record = PluginRecord(
                self._groups[group], group, point, value, self._name, version, self._info, editable
            )
            self.records.append(record)

    def _identify(self) -> Identity:
        """Who it says it is, and how it is called: as it says, unless its folder says something else."""
        try:
            identity = _identity_in(self._metadata)
        except FileNotFoundError:
            identity = Identity([(None, f"is missing: {INCOMPLETE}")])
        except OSError as error:
            identity = Identity([self._unreadable(error)])
        self._name = spelled(identity, self._claimed)
        if not identity.is_sound:
            identity.faults = [
                (line, reason if line else f"{reason}; {LEFT_OUT}") for line, reason in identity.faults
            ]
            return identity
        claimed, version = self._claimed, self._claimed_version
        if not _is_same_name(identity.name, claimed):
            identity.faults.append((None, f"names {identity.name!r}, its folder {claimed!r}"))
        if version and not _is_same_version(identity.version, version):
            identity.faults.append((None, f"is of version {identity.version!r}, its folder of {version!r}"))
        return identity

    def _look_for_metadata(self) -> None:
        stamp = look(self._metadata)
        if (stamp is None or not stamp[5]) and look(self._info) is not None:
            what = "is missing" if stamp is None else "is empty"
            self._blame(self._metadata, [(None, f"{what}: {INCOMPLETE}")])

    def _is_editable(self, name: str) -> bool:
        if self._in_source or (self._editables and canonical(name) in self._editables):
            return True
        try:
            origin = read_file(self._info + os.sep + "direct_url.json")
        except OSError:
            return False
        return b'"editable":true' in origin.translate(None, b" \t\r\n")

    def _unreadable(self, error: OSError) -> Fault:
        self._doubtful = self._doubtful or not isinstance(error, EXPECTED)
        return None, f"cannot be read: {error.strerror}"

    def _blame(self, path: str, faults: Iterable[Fault]) -> None:
        for line, reason in faults:
            self.problems.append(Problem(path, line, reason, self._name))


def spelled(identity: Identity, claimed: str) -> str:
    """The distribution's name as its metadata spells it where that is sound, else as its folder claims."""
    if identity.is_sound and _is_same_name(identity.name, claimed):
        return identity.name
    return claimed.replace("_", "-")


def _is_same_name(one: str, other: str) -> bool:
    return one == other or one.replace("-", "_") == other or canonical(one) == canonical(other)


def _is_same_version(one: str, other: str) -> bool:
    """Whether both spell one version; folder names escape what METADATA writes plainly."""
    if one == other or one.replace("-", "_") == other:
        return True
    ours, theirs = version_order(one), version_order(other)
    return ours[0] and ours == theirs
