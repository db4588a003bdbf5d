"""The proxy configurations of docs/relay.md, run with the real nginx and Caddy in front of a relay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import DialError
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.circuit import hop_exchange
from p2pchat_core.net.host import Host
from p2pchat_core.net.ping import ping
from p2pchat_core.wire.circuit import HOP_PROTOCOL, HopClient, Status
from p2pchat_relay.config import AccessConfig, AccessRule, RelayConfig
from p2pchat_relay.server import RelayServer
from tests.relay_server.fakes import key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.interop

DOCS = Path(__file__).resolve().parents[2] / "docs" / "relay.md"
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}


BAD_CLIENT, GOOD_CLIENT = "127.0.0.2", "127.0.0.3"
BANNED = AccessRule(mode="deny", networks=(BAD_CLIENT,))


def documented(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def nginx(directory: Path, port: int, relay: int) -> list[str]:
    server = (
        documented("nginx").replace("listen 443", f"listen 127.0.0.1:{port}").replace(":9001", f":{relay}")
    )
    server = re.sub(r"/etc/letsencrypt/live/relay\.example", str(directory), server)
    temporary = "".join(
        f"{name}_temp_path {directory}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {directory}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}{server}}}\n"
    )
    return ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")]


def caddy(directory: Path, port: int, relay: int) -> list[str]:
    site = documented("caddy").replace("9001", str(relay))
    site = site.replace(
        "relay.example {",
        f"https://relay.example:{port} {{\n tls {directory}/fullchain.pem {directory}/privkey.pem",
    )
    (directory / "Caddyfile").write_text(f"{{\n admin off\n auto_https disable_redirects\n}}\n{site}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(directory / "Caddyfile")]


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[RelayServer]:
    announce = ("/dns4/relay.example/tcp/443/tls/ws",)
    listen = ("/ip4/127.0.0.1/tcp/0/ws",)
    server = await RelayServer.start(
        RelayConfig(
            data_dir=tmp_path / "relay",
            listen=listen,
            announce=announce,
            trusted_proxies=("127.0.0.1",),
            access=AccessConfig(reserve=BANNED, connect=BANNED),
        )
    )
    yield server
    await server.stop()


async def dialled(host: Host, address: Multiaddr, context: ssl.SSLContext) -> object:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(DialError):
                return await host.dial(address, ssl_context=context)
            await asyncio.sleep(0.1)


async def status(port: int, context: ssl.SSLContext, client: str, claim: str | None = None) -> int:
    """Return what a client at another address of this machine is answered, who says that it is `claim`."""
    try:
        async with connect(
            f"wss://relay.example:{port}/",
            host="127.0.0.1",
            ssl=context,
            local_addr=(client, 0),
            proxy=None,
            compression=None,
            additional_headers={"X-Forwarded-For": claim} if claim else {},
        ):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


@pytest.mark.parametrize("proxy", [nginx, caddy])
async def test_a_proxy_that_does_tls(
    tmp_path: Path, relay: RelayServer, proxy: Callable[[Path, int, int], list[str]]
) -> None:
    name = proxy.__name__
    if shutil.which(name, path=ENVIRONMENT["PATH"]) is None:
        pytest.skip(f"{name} is not installed")
    ca = trustme.CA()
    cert = ca.issue_cert("relay.example")
    (tmp_path / "fullchain.pem").write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
    (tmp_path / "privkey.pem").write_bytes(cert.private_key_pem.bytes())
    context = ssl.create_default_context()
    ca.configure_trust(context)
    port, behind = free_port(), int(relay.addresses[1].value("tcp") or 0)
    process = await asyncio.create_subprocess_exec(
        *proxy(tmp_path, port, behind), env=ENVIRONMENT | {"HOME": str(tmp_path)}, cwd=tmp_path
    )
    host = Host(key(1))
    try:
        address = Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}/tls/sni/relay.example/ws")
        await dialled(host, address / relay.peer_id.as_multiaddr(), context)
        (connection,) = host.connections(relay.peer_id)
        assert await ping(connection, SystemClock()) > 0
        stream = await connection.open_stream([HOP_PROTOCOL])
        answer = await asyncio.wait_for(hop_exchange(stream, HopClient.reserve()), 10)
        assert answer.status is Status.OK
        assert answer.reservation is not None
        (told, *_) = answer.reservation.addresses
        assert str(told).startswith("/dns4/relay.example/tcp/443/tls/ws/p2p/")
        # Who the client is comes from the proxy, whatever the client itself says.
        assert await status(port, context, BAD_CLIENT) == 429
        assert await status(port, context, BAD_CLIENT, GOOD_CLIENT) == 429
        assert await status(port, context, GOOD_CLIENT) == 101
        assert await status(port, context, GOOD_CLIENT, BAD_CLIENT) == 101
        assert await status(port, context, GOOD_CLIENT, "x" * 500) == 101
    finally:
        await host.close()
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)
