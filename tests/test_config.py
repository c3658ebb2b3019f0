"""``hotplug.toml``: what it may say, and what is said about what it may not."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
from pathlib import Path

import pytest

from hotplug._config import Config, EntryConfig, HostSettings, PluginPolicy, masked, reveal
from hotplug._signature import Secret
from hotplug.errors import ConfigError

WHOLE = """\
[host]
load_timeout = 20
watch = true
[plugins]
disable = ["tools/legacy", "agents/*"]  # never imported
allow = ["hotplug-*", "Acme.Broker"]
conflicts = { "brokers/acme" = "acme-broker" }
[brokers.main]
plugin = "paper"
connect = true
required = true
tags = ["equity"]
allow_live = true
settings = { cash = "1e5", token = { env = "PAPER_TOKEN" }, keys = [{ file = "key" }, { env = "A", b = 1 }] }
[brokers.main.accounts]
ada = ["A1"]
[tools.clock]
offer = ["ada"]
[exporters.csv]
"""


def refusal(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Config.parse(text, source="hotplug.toml")
    return caught.value


def test_reads_everything():
    """
    Tables become frozen records: the host's settings, the policy, and an entry for each key of each kind.
    """
    config = Config.parse(WHOLE)

    assert HostSettings(load_timeout=20.0, watch=True) == config.host
    assert (
        PluginPolicy(
            disable=("tools/legacy", "agents/*"),
            allow=("hotplug-*", "Acme.Broker"),
            conflicts={"brokers/acme": "acme-broker"},
        )
        == config.plugins
    )
    assert list(config.entries) == [("brokers", "main"), ("tools", "clock"), ("exporters", "csv")]
    assert (
        EntryConfig(
            kind="brokers",
            key="main",
            plugin="paper",
            connect=True,
            required=True,
            tags=("equity",),
            settings={
                "cash": "1e5",
                "token": Secret("env", "PAPER_TOKEN"),
                "keys": (Secret("file", "key"), {"env": "A", "b": 1}),
            },
            options={"allow_live": True, "accounts": {"ada": ("A1",)}},
        )
        == config.entries["brokers", "main"]
    )
    assert (
        EntryConfig("tools", "clock", "clock", options={"offer": ("ada",)})
        == config.entries["tools", "clock"]
    )
    assert EntryConfig("exporters", "csv", "csv") == config.entries["exporters", "csv"]
    assert config.entries["tools", "clock"].name == "tools/clock"


def test_empty():
    """
    Nothing configured is the same as an empty text: the defaults.
    """
    assert Config() == Config.parse("") == Config.parse("[host]\n[plugins]\n[brokers]\n")
    assert dataclasses.astuple(Config().host) == (30.0, 10.0, False, False, None, 8, None)


def test_compares_by_content():
    """
    Two configurations that say the same are equal, however and wherever they say it.
    """
    one = Config.parse('[brokers.a]\nsettings = { cash = 1, t = { env = "X" } }', source="here")
    other = Config.parse('# words\n[brokers.a.settings]\nt.env = "X"\ncash = 1\n')

    assert one == other
    assert hash(one) == hash(other)
    assert one != Config.parse('[brokers.a.settings]\nt.env = "Y"\ncash = 1\n')


def test_prints_without_secrets(monkeypatch):
    """
    What is printed or copied holds references: neither the value nor the name of a secret is shown.
    """
    monkeypatch.setenv("PAPER_TOKEN", "hunter2")
    config = Config.parse(WHOLE)
    settings = config.entries["brokers", "main"].settings

    assert "'token': ***, 'keys': (***, {'env': 'A', 'b': 1})" in repr(config)
    assert "PAPER_TOKEN" not in str(config)
    assert '"token": "***", "keys": ["***", {"env": "A", "b": 1}]' in json.dumps(masked(settings))
    assert b"hunter2" not in pickle.dumps(config)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_are_equal(copied):
    """
    A copy or a pickled configuration equals its original, and says the same lines.
    """
    config = Config.parse(WHOLE)

    assert config == copied(config)
    assert copied(config).line_of(["brokers", "main"]) == 8


def test_stays_as_it_is():
    """
    Neither a configuration nor a table in it can be changed.
    """
    config = Config.parse(WHOLE)
    settings: dict = config.entries["brokers", "main"].settings

    for change in (
        lambda: settings.update(cash=1),
        lambda: settings.__setitem__("cash", 1),
        lambda: settings["keys"][1].pop("b"),
        lambda: config.entries.clear(),
        lambda: config.plugins.conflicts.setdefault("a/b", "c"),
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.host = HostSettings()
    assert config == Config.parse(WHOLE)


# -- what is wrong, and where ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("x = 1", 1, "[x] no such key (known: host, plugins; kinds are tables)"),
        ("\nhots = 1", 2, "[hots] no such key (did you mean 'host'?; kinds are tables)"),
        ("\nhost = 1", 2, "[host] must be a table, as in [host], not int 1"),
        ("[[plugins]]", 1, "[plugins] must be a table, as in [plugins], not an array"),
        ("[[brokers]]\n", 1, "[brokers] no such key (known: host, plugins; kinds are tables)"),
        ("[host]\nload_time = 1", 2, "[host.load_time] no such key (did you mean 'load_timeout'?)"),
        ("[host]\nwatch = 1", 2, "[host.watch] Expected `bool`, got `int`"),
        ("[host]\n\nload_timeout = -1", 3, "[host.load_timeout] must be a number above 0, not -1.0"),
        ("[host]\ndrain_timeout = nan", 2, "[host.drain_timeout] must be a number above 0, not nan"),
        ("[host]\nidle_timeout = 0", 2, "[host.idle_timeout] must be a number above 0, not 0.0"),
        ("[host]\nmax_abandoned = 0", 2, "[host.max_abandoned] must be a number above 0, not 0"),
        ("[plugins]\nallow = [\n'a',\n3]", 4, "[plugins.allow[1]] Expected `str`, got `int`"),
        (
            "[plugins]\ndisable = [\n'brokers']",
            3,
            "[plugins.disable[0]] a plugin is spelled 'kind/name', not 'brokers'",
        ),
        ("[plugins.conflicts]\nx = 'y'", 2, "[plugins.conflicts.x] a plugin is spelled 'kind/name', not 'x'"),
        ("[plugins.conflicts]\n'a/b' = 3", 2, "[plugins.conflicts.a/b] Expected `str`, got `int`"),
        ("[plugins]\n[plugins.alow]", 2, "[plugins.alow] no such key (did you mean 'allow'?)"),
        ("['my kind'.x]", 1, "[my kind] a kind's name is an identifier, not 'my kind'"),
        ("[brokers]\nmain = 3", 2, "[brokers.main] must be a table, as in [brokers.main], not int 3"),
        ("[brokers]\n[brokers.'']", 2, "[brokers.] a key is not empty"),
        ("[brokers.a]\nplugin = ''", 2, "[brokers.a.plugin] a plugin's name is not empty"),
        ("[brokers.a]\nconect = true", 2, "[brokers.a.conect] no such key (did you mean 'connect'?)"),
        ("[tools.a]\nallow_live = true", 2, "[tools.a.allow_live] no such key (known: approval, connect, "),
        ("[exporters.a]\noffer = true", 2, "[exporters.a.offer] no such key (known: connect, plugin, "),
        ("[tools.a]\noffer = 3", 2, "[tools.a.offer] Expected `bool | array`, got `int`"),
        ("[brokers.a]\nsettings = 3", 2, "[brokers.a.settings] Expected `object`, got `int`"),
        ("[brokers.a]\ntags = 'x'", 2, "[brokers.a.tags] Expected `array`, got `str`"),
        (
            "[a.b]\n[a.b.settings]\nx = [1,\n{ env = 3 }]",
            4,
            "[a.b.settings.x[1].env] a table with the single key 'env' is a secret and names an environment ",
        ),
        (
            "[brokers.b]\nlimits.x.file = ''",
            2,
            "[brokers.b.limits.x.file] a table with the single key 'file' is a secret and names a file, ",
        ),
        ("[host\n", 1, "Expected ']' at the end of a table declaration"),
        ("[host]\nx = 1\nx = 2", 3, "Cannot overwrite a value"),
        ("[host]\nx = [", 2, "Invalid value"),
    ],
)
def test_refuses_with_line_and_reason(text, line, why):
    """
    Whatever is wrong is said with its line, its place and what was probably meant.
    """
    error = refusal(text)

    assert line == error.line
    assert f"hotplug.toml:{line}: {why}" in str(error)


def test_says_everything_that_is_wrong():
    """
    A file is rejected whole, and all its faults are told in the order of their lines.
    """
    text = "[tools.a]\noffr = 1\n[host]\nwatch = 3\n[plugins]\nallow = 5\n[brokers.a]\nrequired = 'x'\n"

    assert str(refusal(text)) == (
        "hotplug.toml:2: [tools.a.offr] no such key (did you mean 'offer'?)\n"
        "  line 4: [host.watch] Expected `bool`, got `int`\n"
        "  line 6: [plugins.allow] Expected `array | null`, got `int`\n"
        "  line 8: [brokers.a.required] Expected `bool`, got `str`"
    )


def test_unknown_kinds_are_refused_by_who_knows_the_kinds():
    """
    A table of a kind that the host does not have is refused with its line and a close match.
    """
    config = Config.parse("[brokers.a]\n[exporter.b]\n", source="hotplug.toml")

    config.check_kinds(["brokers", "exporter"])
    with pytest.raises(
        ConfigError, match=r"toml:2: \[exporter.b\] no such kind: 'exporter' \(did you mean 'exporters'"
    ):
        config.check_kinds(iter(["brokers", "exporters"]))


# -- files -------------------------------------------------------------------------------------------


def test_loads_a_file(tmp_path):
    """
    A file is read as UTF-8, with a byte order mark or Windows line ends too, and named in errors.
    """
    path = tmp_path / "hotplug.toml"
    path.write_bytes("\ufeff[brokers.a]\r\nsettings = { name = 'größe' }\r\n[host]\r\nwatch = 1".encode())

    with pytest.raises(ConfigError, match=r"hotplug\.toml:4: \[host\.watch\]"):
        Config.load(path)

    path.write_bytes(path.read_bytes().removesuffix(b"1") + b"true")

    assert Config.load(str(path)).entries["brokers", "a"].settings == {"name": "größe"}
    assert str(path) == Config.load(str(path)).source


def test_unreadable_files(tmp_path):
    """
    A file that is not there or is no text is a configuration error, with the line where there is one.
    """
    path = tmp_path / "hotplug.toml"
    with pytest.raises(ConfigError, match=r"hotplug\.toml: cannot be read: No such file") as caught:
        Config.load(path)
    assert caught.value.line is None

    path.write_bytes(b"[host]\n# gr\xfcn\n")
    with pytest.raises(ConfigError, match=r"hotplug\.toml:2: is not UTF-8 text"):
        Config.load(path)


def test_relative_paths_start_at_the_file(tmp_path, monkeypatch):
    """
    Secret files and the data folder are found from the configuration's folder, wherever the process goes.
    """
    home = tmp_path / "etc"
    home.mkdir()
    (home / "token").write_text("s3cret\n")
    (home / "hotplug.toml").write_text("host.data = 'state'\n[brokers.a]\nsettings.token.file = 'token'\n")
    monkeypatch.chdir(home)
    config = Config.load("hotplug.toml")
    monkeypatch.chdir(tmp_path)

    assert reveal(config.entries["brokers", "a"].settings) == {"token": "s3cret"}
    assert str(home / "state") == config.host.data
    assert Config.parse("host.data = 'state'").host.data == "state"


def test_finds_the_file(tmp_path, monkeypatch):
    """
    An explicit file goes before ``HOTPLUG_CONFIG``, and that before ``hotplug.toml`` in the working folder.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOTPLUG_CONFIG", raising=False)
    assert Config.find() is None

    (tmp_path / "hotplug.toml").touch()
    assert Path("hotplug.toml") == Config.find()

    monkeypatch.setenv("HOTPLUG_CONFIG", os.fspath(tmp_path / "other.toml"))
    assert tmp_path / "other.toml" == Config.find()
    assert Path("mine.toml") == Config.find("mine.toml")

    monkeypatch.setenv("HOTPLUG_CONFIG", "")
    assert Path("hotplug.toml") == Config.find(None)


# -- policy -------------------------------------------------------------------------------------------


def test_disabled():
    """
    A plugin is disabled by its spelled name or by a pattern for it.
    """
    policy = Config.parse(WHOLE).plugins

    assert policy.disabled("tools", "legacy")
    assert policy.disabled("agents", "any")
    assert not policy.disabled("tools", "legacy2")
    assert not PluginPolicy().disabled("tools", "legacy")


@pytest.mark.parametrize(
    "name", ["hotplug-broker-paper", "Hotplug_Tools.Market", "acme_broker", "ACME--broker"]
)
def test_allowed(name):
    """
    Names of distributions are compared as installers compare them, patterns included.
    """
    assert Config.parse(WHOLE).plugins.allowed(name)


def test_not_allowed():
    """
    With an allow-list nobody else may contribute; an empty one allows nobody, none at all everybody.
    """
    assert not Config.parse(WHOLE).plugins.allowed("acme-brokers")
    assert not PluginPolicy(allow=()).allowed("acme")
    assert PluginPolicy().allowed("acme")


# -- what differs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("1", "true", True),
        ("1", "1.0", True),
        ("[1]", "[true]", True),
        ("[1]", "[1, 2]", True),
        ("{ a = 1 }", "{ a = true }", True),
        ("{ a = 1 }", "{ b = 1 }", True),
        ("{ env = 'A' }", "{ env = 'B' }", True),
        ("{ env = 'A' }", "'A'", True),
        ("nan", "nan", False),
        ("{ a = [{ b = 1 }] }", "{ a = [ { b = 1 } ] }", False),
        ("{ env = 'A' }", "{ 'env' = 'A' }", False),
        ("'x'", '"x"', False),
    ],
)
def test_entries_know_what_differs(old, new, differs):
    """
    A setting that changes its type or a reference its name has changed, though Python may call it equal.
    """
    before, after = (Config.parse(f"[brokers.a]\nsettings.x = {value}") for value in (old, new))

    [one], [other] = before.entries.values(), after.entries.values()
    assert differs != one.alike(other)


def test_a_rotated_secret_is_no_change(monkeypatch):
    """
    A secret whose value rotated is no change of the configuration.
    """
    config = Config.parse("[brokers.a]\nsettings.token.env = 'ROTATING'")
    monkeypatch.setenv("ROTATING", "1")
    again = Config.parse(config.text)
    monkeypatch.setenv("ROTATING", "2")

    [one], [other] = config.entries.values(), again.entries.values()
    assert one.alike(other)
