"""Certificates of wss listeners: what is refused with which sentence, and replacing one under a connection."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import ssl
import time
from typing import TYPE_CHECKING

import pytest
import trustme

from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import ConfigError, DialError
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.host import Host
from p2pchat_core.net.ping import ping, serve_ping
from p2pchat_core.net.websocket import WebSocketListener
from p2pchat_relay.tls import ServerCertificate
from tests.relay_server.fakes import key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WSS = Multiaddr.parse("/ip4/127.0.0.1/tcp/0/tls/ws")
NOW = time.time()
DAY = datetime.timedelta(days=1)


def store(directory: Path, cert: trustme.LeafCert) -> tuple[Path, Path]:
    """Write a certificate and its key the way renewal programs do: replaced at once."""
    paths = directory / "chain.pem", directory / "key.pem"
    data = b"".join(blob.bytes() for blob in cert.cert_chain_pems), cert.private_key_pem.bytes()
    for path, content in zip(paths, data, strict=True):
        new = path.with_suffix(".new")
        new.write_bytes(content)
        os.replace(new, path)
    return paths


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[trustme.CA, ServerCertificate, Multiaddr]]:
    ca = trustme.CA()
    certificate = ServerCertificate(*store(tmp_path, ca.issue_cert("127.0.0.1")), NOW)
    host = Host(PrivateKey.generate())
    serve_ping(host)
    (address,) = await host.listen(WSS, ssl_context=certificate.context)
    yield ca, certificate, address
    await host.close()


async def test_a_new_certificate_drops_nobody(
    tmp_path: Path, served: tuple[trustme.CA, ServerCertificate, Multiaddr]
) -> None:
    old, certificate, address = served
    new = trustme.CA()
    first, second = Host(key(1)), Host(key(2))
    before = await first.dial(address, ssl_context=trusting(old))
    assert await ping(before, SystemClock()) > 0

    store(tmp_path, new.issue_cert("127.0.0.1"))
    assert certificate.reload(NOW)
    assert await ping(before, SystemClock()) > 0
    after = await second.dial(address, ssl_context=trusting(new))
    assert await ping(after, SystemClock()) > 0
    with pytest.raises(DialError, match="not to be trusted"):
        await second.dial(address, ssl_context=trusting(old))
    assert not before.closed
    assert not certificate.reload(NOW), "the same files again are no change"
    await asyncio.gather(first.close(), second.close())


async def test_a_bad_certificate_leaves_the_old_one_in_use(
    tmp_path: Path, served: tuple[trustme.CA, ServerCertificate, Multiaddr]
) -> None:
    ca, certificate, address = served
    (tmp_path / "chain.pem").write_text("nothing of use")
    with pytest.raises(ConfigError, match="holds no certificate"):
        certificate.reload(NOW)
    host = Host(key(1))
    await host.dial(address, ssl_context=trusting(ca))
    await host.close()


async def test_a_client_that_names_no_server_is_served(
    served: tuple[trustme.CA, ServerCertificate, Multiaddr],
) -> None:
    ca, _, address = served
    context = trusting(ca)
    context.check_hostname = False
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(address.value("tcp") or 0), ssl=context, server_hostname=""
    )
    assert writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()


async def test_who_never_does_tls_is_counted_and_cut(tmp_path: Path) -> None:
    """A thousand half-open handshakes must be seen by the limits of connections."""
    ca = trustme.CA()
    certificate = ServerCertificate(*store(tmp_path, ca.issue_cert("127.0.0.1")), NOW)
    here: list[str] = []

    async def nothing(_stream: object) -> None:
        raise AssertionError("nobody gets this far")

    def admit(ip: str) -> bool:
        if len(here) == 4:
            return False
        here.append(ip)
        return True

    listener = await WebSocketListener.open(
        WSS, nothing, ssl_context=certificate.context, admit=admit, released=here.remove, open_timeout=0.3
    )
    port = int(listener.addresses[0].value("tcp") or 0)

    async def stranger(data: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        return reader, writer

    async def cut(reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 5)

    strangers = [await stranger(data) for data in (b"", b"", b"\x16\x03\x01", b"")]
    while listener.waiting < 4:
        await asyncio.sleep(0)
    refused = await stranger()
    await cut(refused[0])
    assert len(here) == 4
    listener.drop_waiting()
    await cut(strangers[0][0])
    nonsense = await stranger(b"GET / HTTP/1.1\r\n\r\n")
    for reader, _ in [*strangers, nonsense]:
        await cut(reader)
    while here:
        await asyncio.sleep(0)
    assert listener.waiting == 0
    for _, writer in [*strangers, refused, nonsense]:
        writer.close()

    late = await stranger()
    while not listener.waiting:
        await asyncio.sleep(0)
    await asyncio.wait_for(listener.close(), 5)
    await cut(late[0])
    assert here == []
    late[1].close()


def test_when_it_ends_is_known(tmp_path: Path) -> None:
    end = datetime.datetime.fromtimestamp(NOW, datetime.UTC).replace(microsecond=0) + 30 * DAY
    certificate = ServerCertificate(
        *store(tmp_path, trustme.CA().issue_cert("a.example", not_after=end)), NOW
    )
    assert certificate.expires == end.timestamp()


def expired(directory: Path) -> None:
    cert = trustme.CA().issue_cert("a.example", not_after=datetime.datetime(2026, 2, 3, tzinfo=datetime.UTC))
    store(directory, cert)


def not_yet_valid(directory: Path) -> None:
    start = datetime.datetime(2999, 1, 1, tzinfo=datetime.UTC)
    store(directory, trustme.CA().issue_cert("a.example", not_before=start, not_after=start + DAY))


def foreign_key(directory: Path) -> None:
    (directory / "key.pem").write_bytes(trustme.CA().issue_cert("a.example").private_key_pem.bytes())


def protected_key(directory: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    data = generate_private_key(SECP256R1()).private_bytes(
        s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")
    )
    (directory / "key.pem").write_bytes(data)


def swapped(directory: Path) -> None:
    (directory / "chain.pem").write_bytes((directory / "key.pem").read_bytes())


def huge(directory: Path) -> None:
    (directory / "chain.pem").write_bytes(bytes(2 << 20))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (expired, "chain.pem expired on 2026-02-03: renew it"),
        (not_yet_valid, "is not valid before 2999-01-01 00:00 UTC"),
        (foreign_key, "key.pem does not belong to the .first. certificate in .*chain.pem"),
        (protected_key, "protected by a password"),
        (swapped, "chain.pem holds no certificate"),
        (huge, "is it the right file"),
        (lambda d: (d / "chain.pem").unlink(), "certificate .*chain.pem cannot be read .No such file"),
        (lambda d: (d / "key.pem").unlink(), "key of the certificate .*key.pem cannot be read"),
        (lambda d: (d / "key.pem").write_bytes(b""), "key.pem holds no private key"),
    ],
)
def test_what_is_refused(tmp_path: Path, spoil: object, sentence: str) -> None:
    paths = store(tmp_path, trustme.CA().issue_cert("a.example"))
    assert callable(spoil)
    spoil(tmp_path)
    with pytest.raises(ConfigError, match=sentence) as refused:
        ServerCertificate(*paths, NOW if "2999" in sentence else max(NOW, 1_785_000_000.0))
    assert "\n" not in str(refused.value)
