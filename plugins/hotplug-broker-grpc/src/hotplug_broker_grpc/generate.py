"""
Makes the stubs from the ``.proto``: ``python -m hotplug_broker_grpc.generate`` (needs ``grpcio-tools``).

What ``protoc`` writes itself demands the protobuf and grpcio of its own day, and puts its descriptors into
the pool that all share, where changed ones of the same file clash. So only its descriptors are taken, and
the stubs are written here: they live in a pool of their own, and run on any protobuf that can read them.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["generate", "main", "stubs_of"]

HERE: Final = Path(__file__).parent
PROTO: Final = HERE / "proto"
FILE: Final = "hotplug/broker/v1/broker.proto"
STUBS: Final = HERE / "stubs"
COMMAND: Final = "python -m hotplug_broker_grpc.generate"

_field: Final[Any] = descriptor_pb2.FieldDescriptorProto
SCALARS: Final[Mapping[int, str]] = {
    _field.TYPE_STRING: "str",
    _field.TYPE_BYTES: "bytes",
    _field.TYPE_BOOL: "bool",
    _field.TYPE_DOUBLE: "float",
    _field.TYPE_INT64: "int",
    _field.TYPE_ENUM: "int",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the stubs; with ``--check`` only say (exit code 1) whether the committed ones differ."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Make the stubs from the .proto.")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--proto", type=Path, default=PROTO, help="the folder in which the .proto is")
    parser.add_argument("--out", type=Path, default=STUBS, help="where the stubs go")
    asked = parser.parse_args(arguments)
    made = generate(asked.proto)
    if asked.check:
        differing = [name for name, text in made.items() if _text_in(asked.out / name) != text]
        print("\n".join(f"{name} is not what {COMMAND} makes" for name in differing) or "up to date")  # noqa: T201
        return 1 if differing else 0
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (asked.out / name).write_text(text, encoding="utf-8")
    return 0


def _text_in(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


def generate(proto: Path = PROTO) -> dict[str, str]:
    """The stubs, text by file name; `RuntimeError` for a ``.proto`` that is not one."""
    import grpc_tools.protoc  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]

    protoc: Any = grpc_tools.protoc
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "descriptors")
        if protoc.main(["protoc", f"--proto_path={proto}", f"--descriptor_set_out={out}", FILE]) != 0:
            raise RuntimeError(f"protoc does not accept {proto / FILE}")
        described: Any = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())  # type: ignore[attr-defined,unused-ignore]
    return stubs_of(described.file[0])


def stubs_of(file: Any) -> dict[str, str]:
    """The stubs of a ``FileDescriptorProto``."""
    return {
        "broker_pb2.py": _lines(_messages(file)),
        "broker_pb2.pyi": _lines(_message_types(file)),
        "broker_pb2_grpc.py": _lines(_methods(file)),
    }


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


# -- messages --------------------------------------------------------------------------------------


def _messages(file: Any) -> Iterator[str]:
    text = base64.b64encode(file.SerializeToString(deterministic=True)).decode("ascii")
    yield f'"""Messages of {file.package}. Made by ``{COMMAND}``: do not edit."""'
    yield ""
    yield "from base64 import b64decode"
    yield ""
    yield "from google.protobuf.descriptor_pool import DescriptorPool"
    yield "from google.protobuf.message_factory import GetMessageClass"
    yield ""
    yield "# A pool of its own: a changed file of this name may be loaded in the same process."
    yield "POOL = DescriptorPool()"
    yield "POOL.AddSerializedFile("
    yield "    b64decode("
    yield from (f'        "{text[start : start + 96]}"' for start in range(0, len(text), 96))
    yield "    )"
    yield ")"
    yield f'DESCRIPTOR = POOL.FindFileByName("{file.name}")'
    yield ""
    for message in file.message_type:
        yield f'{message.name} = GetMessageClass(DESCRIPTOR.message_types_by_name["{message.name}"])'


def _message_types(file: Any) -> Iterator[str]:
    yield f"# Types of the messages of {file.package}. Made by {COMMAND}: do not edit."
    yield "# ruff: noqa: A002, N802"
    yield "from collections.abc import Iterable, Mapping, MutableMapping, MutableSequence"
    yield "from typing import Any, Self"
    yield ""
    yield "POOL: Any"
    yield "DESCRIPTOR: Any"
    yield ""
    yield "class _Message:"
    yield "    DESCRIPTOR: Any"
    yield "    def HasField(self, field_name: str) -> bool: ..."
    yield "    def WhichOneof(self, oneof_group: str) -> str | None: ..."
    yield "    def SerializeToString(self) -> bytes: ..."
    yield "    @classmethod"
    yield "    def FromString(cls, s: bytes) -> Self: ..."
    for message in file.message_type:
        yield ""
        yield from _message_type(message)


def _message_type(message: Any) -> Iterator[str]:
    if not message.field:
        yield f"class {message.name}(_Message): ..."
        return
    maps = {nested.name: nested for nested in message.nested_type}
    fields = [(each.name, *_types(each, maps)) for each in message.field]
    yield f"class {message.name}(_Message):"
    for name, held, _ in fields:
        yield f"    {name}: {held}"
    yield "    def __init__("
    yield "        self,"
    yield "        *,"
    for name, _, given in fields:
        yield f"        {name}: {given} | None = None,"
    yield "    ) -> None: ..."


def _types(field: Any, maps: Mapping[str, Any]) -> tuple[str, str]:
    """What *field* holds, and what it may be made of."""
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = (_plain(each) for each in entry.field)
        return f"MutableMapping[{key}, {value}]", f"Mapping[{key}, {value}]"
    plain = _plain(field)
    if field.label == _field.LABEL_REPEATED:
        return f"MutableSequence[{plain}]", f"Iterable[{plain}]"
    return plain, plain


def _plain(field: Any) -> str:
    if field.type == _field.TYPE_MESSAGE:
        return str(field.type_name.rpartition(".")[2])
    return SCALARS[field.type]


# -- methods ---------------------------------------------------------------------------------------


def _methods(file: Any) -> Iterator[str]:
    [service] = file.service
    methods = [_method(each) for each in service.method]
    yield f'"""Methods of {file.package}. Made by ``{COMMAND}``: do not edit."""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    yield "from typing import TYPE_CHECKING, Any, Final, NamedTuple"
    yield ""
    yield "from hotplug_broker_grpc.stubs import broker_pb2 as pb"
    yield ""
    yield "if TYPE_CHECKING:"
    yield "    from hotplug_broker_grpc._wire import Channel, Streamed, Unary"
    yield ""
    yield '__all__ = ["METHODS", "SERVICE", "Method", "Stub"]'
    yield ""
    yield f'SERVICE: Final = "{file.package}.{service.name}"'
    yield ""
    yield ""
    yield "class Method(NamedTuple):"
    yield '    """One method: what it is asked, what it answers, and whether it does so many times."""'
    yield ""
    yield "    asked: Any"
    yield "    answer: Any"
    yield "    streams: bool"
    yield ""
    yield ""
    yield "METHODS: Final = {"
    for name, asked, answer, streams in methods:
        yield f'    "{name}": Method(pb.{asked}, pb.{answer}, {streams}),'
    yield "}"
    yield ""
    yield ""
    yield "class Stub:"
    yield '    """The methods, as a client calls them."""'
    yield ""
    yield "    def __init__(self, channel: Channel) -> None:"
    for name, asked, answer, streams in methods:
        kind, maker = ("Streamed", "unary_stream") if streams else ("Unary", "unary_unary")
        yield f"        self.{name}: {kind}[pb.{asked}, pb.{answer}] = channel.{maker}("
        yield f'            f"/{{SERVICE}}/{name}", pb.{asked}.SerializeToString, pb.{answer}.FromString'
        yield "        )"


def _method(method: Any) -> tuple[str, str, str, bool]:
    asked, answer = (kind.rpartition(".")[2] for kind in (method.input_type, method.output_type))
    return method.name, asked, answer, method.server_streaming


if __name__ == "__main__":
    sys.exit(main())
