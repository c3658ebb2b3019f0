"""What `hotplug._discovery._text` reads out of files that nobody checked."""

from __future__ import annotations

import pytest

from hotplug._discovery._text import (
    canonical,
    named_in,
    read_entry_points,
    read_headers,
    read_identity,
)

GROUPS = {"hotplug.brokers": "brokers"}


def points(text: str | bytes) -> list[tuple[str, str]]:
    data = text.encode() if isinstance(text, str) else text
    return [(name, value) for _, name, value in read_entry_points(data, GROUPS)[0]]


def faults(text: str | bytes) -> list[tuple[int | None, str]]:
    data = text.encode() if isinstance(text, str) else text
    return read_entry_points(data, GROUPS)[1]


@pytest.mark.parametrize(
    "text",
    [
        "[hotplug.brokers]\nacme = acme:Broker\n",
        "[hotplug.brokers]\r\nacme = acme:Broker\r\n",
        "[hotplug.brokers]\racme = acme:Broker\r",
        "\ufeff[hotplug.brokers]\nacme=acme:Broker",
        "\n# a comment\n; another\n[ hotplug.brokers ]\n\n  acme   =   acme : Broker  \n",
        "[console_scripts]\nx = y:z\n\n[hotplug.brokers]\nacme = acme:Broker [extra, other]\n",
        "[hotplug.brokers]\nacme = acme:Broker\n[gui_scripts]\nx = ?\n",
    ],
)
def test_reads_what_editors_and_tools_write(text):
    """
    Line ends, marks, blanks, comments, extras and other groups do not change what is advertised.
    """
    assert points(text) == [("acme", "acme:Broker")]
    assert faults(text) == []


@pytest.mark.parametrize(
    "value", ["acme", "acme.deep", "acme:Broker", "acme.deep:Outer.inner", "größe:Ä", "1st:x"]
)
def test_values_that_can_be_imported(value):
    """
    A module alone, dotted names and names in any script are values.
    """
    assert [("a", value)] == points(f"[hotplug.brokers]\na = {value}\n")


@pytest.mark.parametrize(
    "value", ["", ":", "acme:", ":Broker", "a b:c", "a..b:c", "acme:Broker()", "a-b:c", "[x]", "a:b:c"]
)
def test_values_that_cannot(value):
    """
    A value that cannot name an object is a fault of its line, and only of that.
    """
    text = f"[hotplug.brokers]\nbad = {value}\ngood = acme:Broker\n"

    assert points(text) == [("good", "acme:Broker")]
    [(line, reason)] = faults(text)
    assert line == 2
    assert "'bad'" in reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("no equals sign", "has no '='"),
        (" = acme:Broker", "without a name"),
        ("nul\0 = a:b", "NUL"),
    ],
)
def test_a_bad_line_costs_nothing_but_itself(bad, reason):
    """
    The lines around a bad one are read, and the bad one is named by number.
    """
    text = f"[hotplug.brokers]\none = a:b\n{bad}\ntwo = c:d\n"

    assert points(text) == [("one", "a:b"), ("two", "c:d")]
    [(line, said)] = faults(text)
    assert line == 3
    assert reason in said


def test_a_section_without_its_end():
    """
    A section that is not closed is a fault, and read as it was meant.
    """
    assert points("[hotplug.brokers\nacme = a:b\n") == [("acme", "a:b")]
    assert faults("[hotplug.brokers\nacme = a:b\n") == [(1, "has no ']' in '[hotplug.brokers'")]


def test_lines_of_other_encodings():
    """
    A line that is not UTF-8 is a fault; the others are read.
    """
    text = b"[hotplug.brokers]\nf\xfcr = a:b\nacme = c:d\n"

    assert points(text) == [("acme", "c:d")]
    assert faults(text) == [(2, "is not UTF-8 text")]


def test_utf_16():
    """
    A file in UTF-16 is one fault, not one for each line.
    """
    [(line, reason)] = faults("\ufeff[hotplug.brokers]\nacme = c:d\n".encode("utf-16-le"))

    assert line == 1
    assert "UTF-16" in reason


def test_pairs_before_any_section():
    """
    A pair that stands in no section is a fault.
    """
    assert faults("acme = c:d\n[hotplug.brokers]\n") == [(1, "stands before any [group]: 'acme = c:d'")]


def test_one_name_twice():
    """
    The first of two lines with one name counts, and the second is a fault that names the first.
    """
    text = "[hotplug.brokers]\nacme = a:b\nacme = c:d\n"

    assert points(text) == [("acme", "a:b")]
    assert faults(text) == [(3, "advertises 'acme' again; line 2 counts")]


def test_one_section_twice():
    """
    A section that is opened again goes on, and that is said.
    """
    text = "[hotplug.brokers]\na = a:b\n[x]\n[hotplug.brokers]\nb = c:d\n[x]\n"

    assert points(text) == [("a", "a:b"), ("b", "c:d")]
    assert faults(text) == [(4, "opens [hotplug.brokers] again, after line 1; both count")]


def test_all_groups():
    """
    Without groups to look for, every group is read.
    """
    assert read_entry_points(b"[x]\na = b:c\n")[0] == [("x", "a", "b:c")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Acme_Broker", "acme-broker"), ("acme.broker", "acme-broker"), ("a--_.b", "a-b"), ("acme", "acme")],
)
def test_canonical_names(name, expected):
    """
    Names that PEP 503 holds to be one are one.
    """
    assert expected == canonical(name)


@pytest.mark.parametrize(
    ("file", "folder", "expected"),
    [
        ("acme_broker-1.0.dist-info", "", ("acme_broker", "1.0")),
        ("acme-broker-1.0.dist-info", "", ("acme-broker", "1.0")),
        ("acme.dist-info", "", ("acme", "")),
        ("acme-1.0-py3.11.egg-info", "", ("acme", "1.0")),
        ("acme.egg-info", "", ("acme", "")),
        ("EGG-INFO", "/x/acme-1.0-py3.11.egg", ("acme", "1.0")),
    ],
)
def test_names_of_folders(file, folder, expected):
    """
    The name of a dist-info or egg-info says whose it is.
    """
    assert expected == named_in(file, folder)


def test_identity():
    """
    Name and version are read, whatever stands around them.
    """
    identity = read_identity(
        b"Metadata-Version: 2.1\r\nname: Acme\r\nVERSION: 1.0\r\nName: No\r\nVersion: 2\r\n"
    )

    assert (identity.name, identity.version, identity.faults) == ("Acme", "1.0", [])


def test_identity_ends_with_the_head():
    """
    What looks like a header in the description is none.
    """
    identity = read_identity("Name: acme\n\nVersion: 1.0 is great übrigens\n".encode())

    assert identity.version == ""
    assert identity.faults == [(None, "has no Version")]


def test_identity_in_another_encoding():
    """
    A head that is not UTF-8 is a fault with its line, and the readable lines count.
    """
    identity = read_identity(b"Name: acme\nAuthor: J\xfcrgen\nVersion: 1.0\n")

    assert (identity.name, identity.version) == ("acme", "1.0")
    assert identity.faults == [(2, "is not UTF-8 text")]


@pytest.mark.parametrize("data", [b"", b"\n \n"])
def test_empty_identity(data):
    """
    Metadata without a word says so, once.
    """
    assert read_identity(data).faults == [(None, "is empty: the installation is incomplete")]


def test_headers():
    """
    Every value of a header is found, folded lines joined, up to the description.
    """
    data = (
        b"Name: acme\nrequires-dist: a>=1;\n  python_version > '3'\nSummary: x\n more\nRequires-Dist: b\n"
        b"\nRequires-Dist: c\n"
    )

    assert read_headers(data, "Requires-Dist") == ("a>=1; python_version > '3'", "b")


def test_headers_without_a_description():
    """
    A file that ends with its head, in the middle of a line, is read to its end.
    """
    assert read_headers(b"Requires-Dist: a\nRequires-Dist: b", "Requires-Dist") == ("a", "b")
