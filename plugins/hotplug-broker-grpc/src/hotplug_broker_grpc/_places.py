"""Where a server listens: which addresses need what, and sockets that nobody else can reach."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hotplug.errors import ConfigError
from hotplug_broker_grpc._wire import grpc

if TYPE_CHECKING:
    from collections.abc import Generator

    from hotplug_broker_grpc._wire import Server

__all__ = ["Place", "Tls", "bind"]

SCHEMES: Final = ("unix:", "ipv4:", "ipv6:", "dns:", "vsock:", "xds:", "unix-abstract:")


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM: the server's certificate and key, and whose certificates it demands of clients."""

    cert: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None

    def __bool__(self) -> bool:
        return self.cert is not None or self.key is not None or self.client_ca is not None

    def credentials(self) -> Any:
        """What grpc makes of them; `ConfigError` where they cannot be."""
        if self.cert is None or self.key is None:
            raise ConfigError("TLS needs both a certificate and its key")
        chain = [(_read(self.key), _read(self.cert))]
        ca = None if self.client_ca is None else _read(self.client_ca)
        return grpc.ssl_server_credentials(chain, ca, ca is not None)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", source=str(file)) from error


@dataclass(frozen=True, slots=True)
class Place:
    """An address: a socket in the file system, or host and port."""

    text: str
    path: Path | None = None
    loopback: bool = False

    @classmethod
    def of(cls, text: str) -> Place:
        """What *text* means: ``unix:PATH`` or ``HOST:PORT``; `ConfigError` for anything else."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:").removeprefix("//")
            if not path:
                raise ConfigError(f"{text!r} names no path: unix:PATH")
            return cls(text, Path(path).absolute())
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if text.startswith(SCHEMES) or not colon or not host or not port.isdecimal():
            raise ConfigError(f"{text!r} is no address: HOST:PORT, [HOST]:PORT or unix:PATH")
        return cls(text, None, _is_loopback(host))

    def at(self, port: int) -> str:
        """The address with the *port* that was got."""
        return self.text if self.path is not None else f"{self.text.rpartition(':')[0]}:{port}"


def _is_loopback(host: str) -> bool:
    """Whether all that *host* resolves to is this machine itself."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise ConfigError(f"{host!r} is no host: {error}") from error
    return all(ipaddress.ip_address(address).is_loopback for address in found)


def bind(server: Server, place: Place, tls: Tls) -> str:
    """Let *server* listen at *place*; its address. `ConfigError` where that is taken."""
    credentials = tls.credentials() if tls else None
    if place.path is not None:
        if credentials is not None:
            raise ConfigError(f"{place.text}: TLS is for hosts; a socket is private by its mode")
        _bind_socket(server, place.path)
        return place.text
    try:
        if credentials is None:
            port = server.add_insecure_port(place.text)
        else:
            port = server.add_secure_port(place.text, credentials)
    except RuntimeError as error:
        raise ConfigError(f"cannot listen at {place.text}: {error}") from error
    return place.at(port)


def _bind_socket(server: Server, path: Path) -> None:
    """
    Listen at *path*, mode 0600 from its first moment on.

    A socket is connectable as soon as it is bound, and gets its mode afterwards: so it is bound where nobody
    else can look, and moved.
    """
    _make_room(path)
    with _private_folder(path.parent) as folder:
        hidden = folder / "s"
        try:
            server.add_insecure_port(f"unix:{hidden}")
        except RuntimeError as error:
            raise ConfigError(f"cannot listen at {path}: {error}") from error
        hidden.chmod(stat.S_IRUSR | stat.S_IWUSR)
        hidden.replace(path)


@contextlib.contextmanager
def _private_folder(parent: Path) -> Generator[Path]:
    try:
        folder = Path(tempfile.mkdtemp(prefix=".", dir=parent))
    except OSError as error:
        raise ConfigError(f"there can be no socket in {parent}: {error.strerror}") from error
    try:
        yield folder
    finally:
        folder.rmdir()


def _make_room(path: Path) -> None:
    """Take away a socket that nobody listens at; `ConfigError` for anything else in its place."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} is there, and is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return
    raise ConfigError(f"somebody else listens at {path}")
