"""Lines of keys: wherever something stands in a TOML text, its line is known."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotplug._config import Config
from hotplug._config._lines import lines_of
from thorough import part_of

ALL_SORTS = '''\
# a comment = 1
top = "a # string"  # with a [comment]
"quoted key" . 'a.b'.c = 1

[ a . "b c" ]     # [not.a.header]
x = """
[fake.header]
fake = 1 \\""" still inside
""""
y = \'\'\'
[fake2]\'\'\'
z = [ # comment ]
  1, "]", [
    { p = "}", "q" = [5] },
  ],
  { },
]
when = 2024-05-01 12:00:00Z # space inside
empty = ""
[[rows]]
id = 1
[[rows]]
id = 2
[rows.deep]
k = +1_000.5e3
[[rows.more]]
w = 'x'
[a]
late = { m.n = 1, o = \'\', p = """"quoted"""" }
after = true'''

PLACES = {
    ("top",): 2,
    ("quoted key",): 3,
    ("quoted key", "a.b"): 3,
    ("quoted key", "a.b", "c"): 3,
    ("a", "b c"): 5,
    ("a", "b c", "x"): 6,
    ("a", "b c", "y"): 10,
    ("a", "b c", "z"): 12,
    ("a", "b c", "z", 0): 13,
    ("a", "b c", "z", 1): 13,
    ("a", "b c", "z", 2): 13,
    ("a", "b c", "z", 2, 0): 14,
    ("a", "b c", "z", 2, 0, "p"): 14,
    ("a", "b c", "z", 2, 0, "q"): 14,
    ("a", "b c", "z", 2, 0, "q", 0): 14,
    ("a", "b c", "z", 3): 16,
    ("a", "b c", "when"): 18,
    ("a", "b c", "empty"): 19,
    ("rows",): 20,
    ("rows", 0): 20,
    ("rows", 0, "id"): 21,
    ("rows", 1): 22,
    ("rows", 1, "id"): 23,
    ("rows", 1, "deep"): 24,
    ("rows", 1, "deep", "k"): 25,
    ("rows", 1, "more"): 26,
    ("rows", 1, "more", 0): 26,
    ("rows", 1, "more", 0, "w"): 27,
    ("a",): 28,
    ("a", "late"): 29,
    ("a", "late", "m"): 29,
    ("a", "late", "m", "n"): 29,
    ("a", "late", "o"): 29,
    ("a", "late", "p"): 29,
    ("a", "after"): 30,
}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_all_sorts(line_end):
    """
    Headers, dotted and quoted keys, strings with brackets, multi-line values, inline tables, arrays.
    """
    tomllib.loads(ALL_SORTS)

    assert lines_of(ALL_SORTS.replace("\n", line_end)) == PLACES


def test_nearest_line():
    """
    What stands nowhere is where the thing around it is; what has nothing around it is nowhere.
    """
    config = Config.parse("\n[brokers.main]\nsettings = { a = [1] }\n")

    assert config.line_of(("brokers", "main", "settings", "a", 0, "deeper")) == 3
    assert config.line_of(["brokers", "main", "connect"]) == 2
    assert config.line_of(("tools",)) is None
    assert Config().line_of(("host",)) is None


# -- generated texts, whose lines are known because we wrote them -----------------------------------

BARE = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
KEYS = BARE | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6)
HOSTILE = st.sampled_from(
    ["", "]", "}", "# no", "= 1", "[a.b]", "'", '"', '""', "''", ",", "\\", "{ env = 1 }"]
)
TEXTS = HOSTILE | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
SCALARS = st.one_of(
    TEXTS.map(lambda text: ("text", text)),
    st.lists(TEXTS, min_size=1, max_size=3).map(lambda lines: ("lines", lines)),
    st.sampled_from(["1", "true", "1.5", "nan", "2024-05-01 07:30:00", "12:00:00", "0xff"]).map(
        lambda raw: ("raw", raw)
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: ("array", items))
        | st.dictionaries(KEYS, inner, max_size=3).map(lambda table: ("inline", table))
    ),
    max_leaves=5,
)
TABLES = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=3).map(lambda pairs: (pairs, {})),
    lambda inner: st.tuples(
        st.dictionaries(KEYS, VALUES, max_size=3), st.dictionaries(KEYS, inner, max_size=2)
    ),
    max_leaves=4,
)


class Writer:
    """Writes TOML and notes, independently of the reader, on which line everything begins."""

    def __init__(self, choose):
        self.text = ""
        self.lines = {}
        self.choose = choose

    def note(self, path):
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def key(self, key):
        if key and key.isascii() and key.replace("_", "").replace("-", "").isalnum() and self.choose(2):
            return key
        if "'" not in key and self.choose(2):
            return f"'{key}'"
        return quoted(key)

    def gap(self):
        self.text += ["", "\n", "# [comment] = '\n", "  \n\t"][self.choose(4)]

    def table(self, path, table):
        pairs, tables = table
        for key, value in pairs.items():
            self.gap()
            self.note((*path, key))
            self.text += f"{self.key(key)} = "
            self.value((*path, key), value)
            self.text += [" # end\n", "\n"][self.choose(2)]
        for key, inner in tables.items():
            if key in pairs:
                continue
            self.gap()
            below = (*path, key)
            array = self.choose(2)
            for step in range(1, len(below)):
                self.note(below[:step])
            self.note(below)
            header = " . ".join(self.key(step) for step in below if isinstance(step, str))
            if array:
                self.note((*below, 0))
            self.text += f"[[{header}]]\n" if array else f"[ {header} ]\n"
            self.table((*below, 0) if array else below, inner)

    def value(self, path, value):
        sort, content = value
        if sort == "raw":
            self.text += content
        elif sort == "text":
            literal = "'" not in content and self.choose(2)
            self.text += f"'{content}'" if literal else quoted(content)
        elif sort == "lines":
            body = "\n".join(content)
            literal = "'" not in body and self.choose(2)
            self.text += (
                f"'''{body}'''" if literal else '"""' + body.replace("\\", "\\\\").replace('"', '\\"') + '"""'
            )
        elif sort == "array":
            self.array(path, content)
        else:
            self.inline(path, content)

    def array(self, path, items):
        self.text += "["
        for place, item in enumerate(items):
            self.gap()
            self.note((*path, place))
            self.value((*path, place), item)
            self.gap()
            self.text += ","
        self.text += "]"

    def inline(self, path, table):
        self.text += "{"
        for number, (key, value) in enumerate(table.items()):
            self.text += ", " if number else " "
            self.note((*path, key))
            self.text += f"{self.key(key)}="
            self.value((*path, key), value)
        self.text += "}"


def quoted(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def paths_of(value, path=()):
    """Every path in a parsed document: the keys of its tables and the places in its arrays."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from paths_of(inner, (*path, step))


@settings(max_examples=part_of(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TABLES, st.data())
def test_generated(table, data):
    """
    Exactly the paths that `tomllib` sees have a line, and it is the one where they were written.
    """
    writer = Writer(lambda many: data.draw(st.integers(0, many - 1)))
    writer.table((), table)

    assert writer.lines == lines_of(writer.text)
    assert set(paths_of(tomllib.loads(writer.text))) == set(writer.lines)
