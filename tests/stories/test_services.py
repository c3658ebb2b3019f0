"""A service in a process of its own: killed and restarted, it is unhealthy, and healthy again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hot import until
from hotplug import Host

pytestmark = [pytest.mark.real_services, pytest.mark.usefixtures("nothing_left")]

INTERVAL = 0.2

SERVER = """
import http.server, sys, threading

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"fine")

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def server(port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """An HTTP server in a process of its own, and its port; killed at the end if it is still there."""
    command = [sys.executable, "-c", SERVER, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def polls_until(host: Host, status: str) -> float:
    """How many intervals it takes until the service is said to be so."""
    began = time.monotonic()
    until(lambda: host.services.health().details["services"].get("api") == status, f"never {status}")
    return (time.monotonic() - began) / INTERVAL


def test_killed_stopped_and_restarted_is_seen():
    """
    A server that is killed, restarted, stopped in its tracks and continued is so in the health, too.
    """
    host = Host(path=[], cache=False)
    host.services.check_interval, host.services.check_deadline = INTERVAL, 1.0
    with host:
        polls: dict[str, float] = {}
        with server() as (first, port):
            host.services.register_service("api", f"http://127.0.0.1:{port}", "/health")
            polls["registered"] = polls_until(host, "healthy")
            first.kill()
            polls["killed"] = polls_until(host, "unhealthy")
        assert host.health().status == "unhealthy"
        assert any("ConnectionRefusedError" in issue for issue in host.health().issues)
        with server(port) as (second, _):
            polls["restarted"] = polls_until(host, "healthy")
            assert host.health().status == "healthy"
            said = host.services.health().details["checks"]["api"]
            assert "ConnectionRefusedError" in said.details["last_error"]
            second.send_signal(signal.SIGSTOP)
            polls["stopped"] = polls_until(host, "unhealthy")
            second.send_signal(signal.SIGCONT)
            polls["continued"] = polls_until(host, "healthy")
            second.kill()
        print({what: round(count, 2) for what, count in polls.items()})
