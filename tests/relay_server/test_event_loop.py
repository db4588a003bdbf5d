from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from p2pchat_relay.event_loop import loop_factory, loop_name, run


async def which() -> str:
    return loop_name(asyncio.get_running_loop())


def test_uvloop_is_used_where_it_is_installed() -> None:
    pytest.importorskip("uvloop")
    assert run(which()) == "uvloop"


def test_without_it_the_loop_of_asyncio_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is asyncio.new_event_loop
    assert run(which()) == "asyncio"


SCRIPT = """
import asyncio, ssl, sys, tempfile, pathlib, time
import trustme
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.host import Host
from p2pchat_core.net.ping import ping, serve_ping
from p2pchat_core.clock import SystemClock
from p2pchat_relay.event_loop import loop_name, run
from p2pchat_relay.stun import StunResponder, StunServer
from p2pchat_relay.tls import ServerCertificate

def certificate(ca, directory):
    cert = ca.issue_cert("127.0.0.1")
    (directory / "c").write_bytes(cert.cert_chain_pems[0].bytes())
    (directory / "k").write_bytes(cert.private_key_pem.bytes())

async def main(directory):
    ca = trustme.CA()
    certificate(ca, directory)
    served = ServerCertificate(directory / "c", directory / "k", time.time())
    trust = ssl.create_default_context()
    ca.configure_trust(trust)
    a, b = Host(PrivateKey.generate()), Host(PrivateKey.generate())
    serve_ping(a)
    for form in ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/tcp/0/tls/ws"):
        (address,) = await a.listen(Multiaddr.parse(form), ssl_context=served.context)
        connection = await b.dial(address, ssl_context=trust)
        assert await ping(connection, SystemClock()) > 0
        certificate(ca, directory)
        assert served.reload(time.time())
        assert await ping(connection, SystemClock()) > 0
        await connection.close()
        await connection.wait_closed()
    clock = SystemClock()
    stun = await StunServer.open(["127.0.0.1"], [0, 0], StunResponder(clock.monotonic()), clock)
    stun.close()
    await asyncio.gather(a.close(), b.close())
    print(loop_name(asyncio.get_running_loop()))

with tempfile.TemporaryDirectory() as directory:
    run(main(pathlib.Path(directory)))
"""


def test_every_transport_works_on_uvloop() -> None:
    pytest.importorskip("uvloop")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=40, check=False
    )
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("uvloop", "", 0)
