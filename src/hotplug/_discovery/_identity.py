"""What is known of a record's distribution beyond its entry points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from hotplug._discovery._distribution import read_file
from hotplug._discovery._stamps import look
from hotplug._discovery._text import read_headers

if TYPE_CHECKING:
    from hotplug._records import PluginRecord

__all__ = ["archives_of", "requirements_of", "stamp_of"]

TELLING: Final = ("", "entry_points.txt", "RECORD", "METADATA", "PKG-INFO")


def stamp_of(record: PluginRecord) -> tuple[object, ...]:
    """Times, inode and size of the dist-info and its telling files, or of the archive that holds it."""
    path = Path(record.path)
    if look(record.path) is not None:
        return tuple(look(str(path / name)) for name in TELLING)
    return tuple(look(str(archive)) for archive in archives_of(path))


def requirements_of(record: PluginRecord) -> tuple[str, ...]:
    """The ``Requires-Dist`` lines, from wherever this sort of distribution keeps them."""
    path = Path(record.path)
    if path.suffix == ".dist-info" and path.is_dir():
        try:
            return read_headers(read_file(str(path / "METADATA")), "Requires-Dist")
        except OSError:
            return ()
    try:
        return _foreign_requirements(path)
    except Exception:  # noqa: BLE001 - the border to foreign code; what cannot be read requires nothing
        return ()


def _foreign_requirements(path: Path) -> tuple[str, ...]:
    from hotplug._discovery._foreign import foreign_distributions, path_of

    places = [path.parent] if path.is_dir() else archives_of(path)
    for place in places:
        for distribution in foreign_distributions(None, [str(place)]):
            if path_of(distribution) == str(path):
                return tuple(distribution.requires or ())
    return ()


def archives_of(path: Path) -> list[Path]:
    """The file that *path* leads into, if it does."""
    return [parent for parent in path.parents if parent.is_file()]
