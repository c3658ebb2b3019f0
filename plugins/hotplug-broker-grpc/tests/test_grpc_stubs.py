"""The stubs: made by a command, and harmless to whoever loads others of the same name."""

from __future__ import annotations

import gc
import importlib.util
import shutil
import sys
import weakref
from pathlib import Path

import pytest

from hotplug_broker_grpc import generate as generating
from hotplug_broker_grpc.generate import FILE, PROTO, STUBS, generate, main
from hotplug_broker_grpc.stubs import broker_pb2 as pb
from hotplug_broker_grpc.stubs.broker_pb2_grpc import METHODS, SERVICE

tools = pytest.mark.skipif(
    importlib.util.find_spec("grpc_tools") is None, reason="grpcio-tools makes the stubs; it is not installed"
)


def load(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The messages as the module name that the committed ones have, too."""
    name = "hotplug_broker_grpc.stubs.broker_pb2"
    spec = importlib.util.spec_from_file_location(name, folder / "broker_pb2.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@tools
def test_the_committed_stubs_are_those_of_the_proto():
    """
    Who changes the ``.proto`` makes the stubs anew, else this fails.
    """
    assert {name: (STUBS / name).read_text(encoding="utf-8") for name in generate()} == generate()


@tools
def test_the_command_says_whether_they_differ(tmp_path, capsys):
    """
    ``--check`` writes nothing, and names what is not up to date.
    """
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == "up to date\n"

    assert main(["--check", "--out", str(tmp_path)]) == 1
    assert "broker_pb2.py is not what" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@tools
def test_a_proto_that_is_none_is_refused(tmp_path):
    """
    The error names the file that ``protoc`` does not accept.
    """
    wrong = tmp_path / FILE
    wrong.parent.mkdir(parents=True)
    wrong.write_text("message {")

    with pytest.raises(RuntimeError, match="broker.proto"):
        generate(tmp_path)


@tools
def test_changed_stubs_are_loaded_beside_the_old_ones(tmp_path, monkeypatch):
    """
    The trap of hot reload: another file of the same name in one process. Both work, each with its own fields.
    """
    shutil.copytree(PROTO, tmp_path / "proto")
    changed = tmp_path / "proto" / FILE
    text = changed.read_text().replace("message Heartbeat {}", "message Heartbeat {\n  string mood = 1;\n}")
    changed.write_text(text)
    assert main(["--proto", str(tmp_path / "proto"), "--out", str(tmp_path / "out")]) == 0

    newer = load(tmp_path / "out", monkeypatch)

    assert newer.Heartbeat.FromString(newer.Heartbeat(mood="merry").SerializeToString()).mood == "merry"
    assert not hasattr(pb.Heartbeat(), "mood")
    assert pb.Heartbeat().DESCRIPTOR.full_name == newer.Heartbeat().DESCRIPTOR.full_name


def test_the_same_stubs_are_loaded_again(monkeypatch):
    """
    A reload of unchanged stubs works, and the old ones are not kept for ever.
    """
    again = load(STUBS, monkeypatch)
    pool = weakref.ref(again.Order)
    assert again.Order is not pb.Order
    assert again.Order.FromString(pb.Order(symbol="A").SerializeToString()).symbol == "A"

    monkeypatch.undo()
    del again
    gc.collect()

    assert pool() is None


def test_the_stubs_demand_no_runtime_of_their_day():
    """
    What ``protoc`` itself writes refuses older protobufs and grpcios; these do not ask.
    """
    text = "".join(file.read_text(encoding="utf-8") for file in STUBS.glob("*.py"))

    assert "ValidateProtobufRuntimeVersion" not in text
    assert "GRPC_GENERATED_VERSION" not in text
    assert "descriptor_pool.Default" not in text


def test_the_methods_are_those_of_the_service():
    """
    Each method has its request, its answer, and says whether it answers many times.
    """
    service = pb.DESCRIPTOR.services_by_name["BrokerGateway"]

    assert service.full_name == SERVICE
    assert {
        method.name: (method.input_type.full_name, method.output_type.full_name, method.server_streaming)
        for method in service.methods
    } == {
        name: (method.asked.DESCRIPTOR.full_name, method.answer.DESCRIPTOR.full_name, method.streams)
        for name, method in METHODS.items()
    }


def test_every_enumeration_begins_unspecified():
    """
    A field that was not sent is no word by accident.
    """
    first = [enum.values_by_number[0].name for enum in pb.DESCRIPTOR.enum_types_by_name.values()]

    assert all(name.endswith("_UNSPECIFIED") for name in first)


@tools
def test_it_is_a_command(capsys, monkeypatch):
    """
    ``python -m hotplug_broker_grpc.generate``, as the docstring says.
    """
    import runpy

    monkeypatch.setattr(sys, "argv", ["generate", "--check"])
    monkeypatch.delitem(sys.modules, "hotplug_broker_grpc.generate")

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("hotplug_broker_grpc.generate", run_name="__main__")

    assert ended.value.code == 0
    assert capsys.readouterr().out == "up to date\n"


def test_generating_needs_its_tools_only_when_it_runs():
    """
    Importing the generator imports no compiler: it ships with the plugin.
    """
    assert not hasattr(generating, "grpc_tools")
