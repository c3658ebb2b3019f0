"""Certificates for tests, made when first asked for: no key is kept anywhere."""

from __future__ import annotations

import atexit
import functools
import ipaddress
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
NAMES = [
    x509.DNSName("localhost"),
    x509.DNSName("broker.test"),
    x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
]


@functools.cache
def certificates() -> Path:
    """A folder with ``ca.pem``, and ``.pem`` and ``.key`` of server and client, gone with the process."""
    folder = Path(tempfile.mkdtemp(prefix="hotplug-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("hotplug tests")
    root = _draft(issuer, issuer, authority).add_extension(x509.BasicConstraints(True, 0), critical=True)
    _write(folder / "ca.pem", root.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    for who in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        draft = _draft(_name(f"{who}.test"), issuer, key)
        draft = draft.add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
        signed = draft.sign(authority, hashes.SHA256())
        _write(folder / f"{who}.pem", signed.public_bytes(serialization.Encoding.PEM))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(folder / f"{who}.key", secret)
    return folder


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _draft(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
