"""Reads names, ``entry_points.txt`` and ``METADATA`` as they are, not as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "Advertised",
    "Fault",
    "Identity",
    "canonical",
    "named_in",
    "read_entry_points",
    "read_headers",
    "read_identity",
]

Advertised = tuple[str, str, str]
"""Group, name and value of an entry point."""

Fault = tuple[int | None, str]
"""A line, and what is wrong there."""

UTF_8_MARK: Final = b"\xef\xbb\xbf"
UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


def canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    name = name.lower().replace("_", "-").replace(".", "-")
    while "--" in name:
        name = name.replace("--", "-")
    return name


def named_in(file: str, folder: str = "") -> tuple[str, str]:
    """Name and version (may be empty) that the dist-info or egg-info *file* in *folder* claims to be of."""
    if file.endswith(".dist-info"):
        name, dash, version = file[:-10].rpartition("-")
        return (name, version) if dash else (version, "")
    if file == "EGG-INFO":
        file = folder.replace("\\", "/").rpartition("/")[2].removesuffix(".egg") + ".egg-info"
    name, _, rest = file[:-9].partition("-")
    return name, rest.partition("-py")[0]


class _EntryPoints:
    """Takes an ``entry_points.txt`` line by line; a bad line costs nothing but itself."""

    def __init__(self, groups: Mapping[str, str] | None) -> None:
        self._groups = groups
        self._section: str | None = None
        self._section_lines: dict[str, int] = {}
        self._point_lines: dict[tuple[str, str], int] = {}
        self.points: list[Advertised] = []
        self.faults: list[Fault] = []

    def take(self, line: int, text: str) -> None:
        if text[0] == "[":
            self._open_section(line, text)
            return
        name, equals, value = text.partition("=")
        if not equals:
            self.faults.append((line, f"has no '=' in {text!r}"))
        elif self._section is None:
            self.faults.append((line, f"stands before any [group]: {text!r}"))
        elif self._groups is None or self._section in self._groups:
            self._take_point(line, self._section, name.strip(), value.strip())

    def _open_section(self, line: int, text: str) -> None:
        if not text.endswith("]"):
            self.faults.append((line, f"has no ']' in {text!r}"))
        section = self._section = text.strip("[]").strip()
        first = self._section_lines.setdefault(section, line)
        if first != line and (self._groups is None or section in self._groups):
            self.faults.append((line, f"opens [{section}] again, after line {first}; both count"))

    def _take_point(self, line: int, group: str, name: str, value: str) -> None:
        target = _target(value)
        if not name:
            self.faults.append((line, f"advertises {value!r} without a name"))
        elif not target:
            self.faults.append((line, f"advertises {name!r} as {value!r}, which is no 'module:attribute'"))
        elif (first := self._point_lines.setdefault((group, name), line)) != line:
            self.faults.append((line, f"advertises {name!r} again; line {first} counts"))
        else:
            self.points.append((group, name, target))


def read_entry_points(
    data: bytes, groups: Mapping[str, str] | None = None
) -> tuple[list[Advertised], list[Fault]]:
    """What *data* advertises under *groups* (all, if None), and which lines say nothing sensible."""
    if data.startswith(UTF_16_MARKS):
        return [], [(1, "is UTF-16 text; entry points are UTF-8")]
    reader = _EntryPoints(groups)
    for line, raw in enumerate(_lines(data), 1):
        try:
            text = raw.decode().strip()
        except UnicodeDecodeError:
            reader.faults.append((line, "is not UTF-8 text"))
            continue
        if "\0" in text:
            reader.faults.append((line, "holds a NUL character"))
        elif text and text[0] not in "#;":
            reader.take(line, text)
    return reader.points, reader.faults


def _lines(data: bytes) -> Iterable[bytes]:
    return data.removeprefix(UTF_8_MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def _target(value: str) -> str:
    """``module:attribute`` without blanks and extras; empty if *value* is no such thing."""
    if value.endswith("]"):
        value = value.partition("[")[0]
    module, colon, attribute = value.partition(":")
    module, attribute = module.strip(), attribute.strip()
    if not _is_dotted(module) or (colon and not _is_dotted(attribute)):
        return ""
    return module + colon + attribute


def _is_dotted(path: str) -> bool:
    words = path.replace("_", "a")
    return words.isalnum() or ("." in path and all(part.isalnum() for part in words.split(".")))


class Identity:
    """Who a ``METADATA`` file says it is, and what is wrong with how it says so."""

    __slots__ = ("faults", "name", "version")

    def __init__(self, faults: list[Fault], name: str = "", version: str = "") -> None:
        self.name = name
        self.version = version
        self.faults = faults

    @property
    def is_sound(self) -> bool:
        """Whether it says both, so that there is a distribution to speak of."""
        return bool(self.name and self.version)


def read_identity(data: bytes) -> Identity:
    """Name and version from the head of a ``METADATA`` or ``PKG-INFO`` file."""
    identity = Identity([])
    if not data.strip():
        identity.faults.append((None, "is empty: the installation is incomplete"))
        return identity
    plain = data.isascii()
    for line, raw in enumerate(data.removeprefix(UTF_8_MARK).split(b"\n"), 1):
        if not raw.strip() or (plain and identity.name and identity.version):
            break
        try:
            key, _, value = raw.decode().partition(":")
        except UnicodeDecodeError:
            if not identity.faults:  # one such line tells enough of a file that is no text at all
                identity.faults.append((line, "is not UTF-8 text"))
            continue
        _take_header(identity, key.lower(), value.strip())
    for key in ("name", "version"):
        if not getattr(identity, key):
            identity.faults.append((None, f"has no {key.title()}"))
    return identity


def _take_header(identity: Identity, key: str, value: str) -> None:
    if key == "name" and not identity.name:
        identity.name = value
    elif key == "version" and not identity.version:
        identity.version = value


def read_headers(data: bytes, key: str) -> tuple[str, ...]:
    """The values of every *key* in the head of a ``METADATA`` file, folded lines joined."""
    values: list[str] = []
    inside = False
    for raw in _lines(data):
        text = raw.decode(errors="replace")
        if not text.strip():
            break
        if text[0] in " \t":
            if inside:
                values[-1] += " " + text.strip()
            continue
        name, _, value = text.partition(":")
        inside = name.lower() == key.lower()
        if inside:
            values.append(value.strip())
    return tuple(values)
