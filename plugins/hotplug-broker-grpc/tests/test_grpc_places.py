"""Where a server may listen."""

from __future__ import annotations

import asyncio
import socket
import stat

import pytest

from hotplug.errors import ConfigError
from hotplug_broker_grpc._places import Place, Tls, bind
from hotplug_broker_grpc._wire import aio


@pytest.fixture
def short(tmp_path_factory):
    """A folder whose name is short enough for a socket's."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="g") as folder:
        yield Path(folder)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "127.8.8.8:50051", "localhost:1", "[::1]:50051"])
def test_loopback_is_this_machine(text):
    """
    By number or by name.
    """
    place = Place.of(text)

    assert place.loopback
    assert place.path is None


@pytest.mark.parametrize("text", ["0.0.0.0:50051", "[::]:50051", "192.0.2.1:50051"])
def test_what_others_reach_is_not_loopback(text):
    """
    All interfaces are not only the inner one.
    """
    assert not Place.of(text).loopback


def test_a_socket_has_a_path():
    """
    In both ways to write it.
    """
    assert str(Place.of("unix:/run/x").path) == str(Place.of("unix:///run/x").path) == "/run/x"
    assert not Place.of("unix:/run/x").loopback


@pytest.mark.parametrize(
    "text",
    ["", "50051", ":50051", "host:", "host:http", "unix:", "unix-abstract:x", "dns:host:1", "vsock:1:2"],
)
def test_anything_else_is_no_address(text):
    """
    What is not understood is not guessed.
    """
    with pytest.raises(ConfigError, match="address|names no path"):
        Place.of(text)


def test_a_host_that_is_none_is_said():
    """
    With its name.
    """
    with pytest.raises(ConfigError, match="no.such.host.invalid"):
        Place.of("no.such.host.invalid:1")


def bound(address, *, tls=None):
    """What *address* becomes when a server listens there; and what *seen* says of it then."""

    async def main():
        server = aio.server()
        text = bind(server, Place.of(address), tls or Tls())
        await server.start()
        await server.stop(None)
        return text

    return asyncio.run(main())


def test_port_0_is_a_port_that_is_free():
    """
    The address says which.
    """
    host, _, port = bound("127.0.0.1:0").rpartition(":")

    assert host == "127.0.0.1"
    assert int(port) > 0


def test_a_taken_port_is_refused():
    """
    Two servers do not share a port, each getting some of the calls.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="cannot listen"):
            bound(f"127.0.0.1:{port}")


def test_a_socket_is_private_from_its_first_moment(short, monkeypatch):
    """
    Mode 0600 when it can first be found under its name, and nothing is left beside it.
    """
    path = short / "s"
    modes = []
    replace = type(path).replace

    def watched(self, target):
        modes.append(stat.S_IMODE(self.stat().st_mode))
        modes.append(stat.S_IMODE(self.parent.stat().st_mode))
        return replace(self, target)

    monkeypatch.setattr(type(path), "replace", watched)

    assert bound(f"unix:{path}") == f"unix:{path}"
    assert modes == [0o600, 0o700]
    assert [each for each in short.iterdir() if each != path] == []


def test_a_left_over_socket_is_replaced(short):
    """
    A server that was killed leaves its socket behind: the next one takes its place.
    """
    path = short / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    assert bound(f"unix:{path}")


def test_a_socket_in_use_is_not_taken_away(short):
    """
    Somebody listens there.
    """
    path = short / "s"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        with pytest.raises(ConfigError, match="somebody else listens"):
            bound(f"unix:{path}")
        assert path.exists()


def test_a_file_is_not_taken_away(short):
    """
    A wrong path costs nobody a file.
    """
    path = short / "precious"
    path.write_text("data")

    with pytest.raises(ConfigError, match="is no socket"):
        bound(f"unix:{path}")
    assert path.read_text() == "data"


def test_a_folder_that_is_not_there_is_said(short):
    """
    With its name.
    """
    with pytest.raises(ConfigError, match="there can be no socket in"):
        bound(f"unix:{short}/none/s")


def test_a_path_that_is_too_long_is_said(short):
    """
    Sockets have short names.
    """
    folder = short / ("x" * 120)
    folder.mkdir()

    with pytest.raises(ConfigError, match="cannot listen"):
        bound(f"unix:{folder}/s")
    assert list(folder.iterdir()) == []


# -- TLS -------------------------------------------------------------------------------------------


def test_tls_needs_both_halves(tmp_path):
    """
    A certificate without its key proves nothing.
    """
    with pytest.raises(ConfigError, match="both a certificate and its key"):
        Tls(cert=tmp_path / "cert").credentials()
    with pytest.raises(ConfigError, match="both a certificate and its key"):
        Tls(client_ca=tmp_path / "ca").credentials()


def test_a_file_that_is_not_there_is_named(tmp_path):
    """
    Which of them.
    """
    with pytest.raises(ConfigError, match=r"key\.pem"):
        Tls(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem").credentials()


def test_no_tls_over_a_socket(short, tmp_path):
    """
    It would be a promise that grpc does not keep there.
    """
    for name in ("cert", "key"):
        (tmp_path / name).write_text("PEM")
    with pytest.raises(ConfigError, match="TLS is for hosts"):
        bound(f"unix:{short}/s", tls=Tls(cert=tmp_path / "cert", key=tmp_path / "key"))
