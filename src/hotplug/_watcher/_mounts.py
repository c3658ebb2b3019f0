"""Where events cannot be trusted: file systems that others change too."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Final

__all__ = ["reason_to_poll"]

MOUNTS: Final = "/proc/self/mountinfo"
REMOTE: Final = frozenset(
    {
        *(
            "9p",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "drvfs",
            "fuse",
            "gfs2",
            "glusterfs",
            "gpfs",
            "lustre",
        ),
        *(
            "ncpfs",
            "nfs",
            "nfs4",
            "ocfs2",
            "orangefs",
            "prl_fs",
            "smb2",
            "smb3",
            "smbfs",
            "vboxsf",
            "virtiofs",
        ),
        "vmhgfs",
    }
)
ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def reason_to_poll(path: str, *, mounts: str = MOUNTS) -> str:
    """Why events on *path* do not tell of every change; empty if they do, as far as can be known."""
    if os.environ.get("HOTPLUG_FORCE_POLLING", "") not in {"", "0"}:
        return "HOTPLUG_FORCE_POLLING is set"
    system = _file_system(os.path.realpath(path), mounts)
    if system in REMOTE or system.startswith("fuse."):
        return f"file system {system}"
    return ""


def _file_system(path: str, mounts: str) -> str:
    """The type of the file system that *path* is on; empty where the system does not say."""
    best, answer = -1, ""
    for point, system in _mounted(mounts):
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # The last of several on one point is the one that is seen.
        if inside and len(point) >= best:
            best, answer = len(point), system
    return answer


def _mounted(mounts: str) -> list[tuple[str, str]]:
    try:
        return _table(Path(mounts).read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return []


@functools.lru_cache(maxsize=1)  # asked for each of hundreds of roots
def _table(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 4 and after:
            found.append((ESCAPED.sub(_character, fields[4]), after.split(" ")[0]))
    return found


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 8))
