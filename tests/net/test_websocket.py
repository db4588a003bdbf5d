"""WebSockets over loopback: byte-stream semantics, endings, TLS, strangers, and the sentences of failures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any, cast

import pytest
import trustme
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

from p2pchat_core import limits
from p2pchat_core.errors import (
    AddressError,
    ConfigError,
    ConnectionLostError,
    DialError,
    StreamClosedError,
    StreamResetError,
)
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.websocket import WebSocketListener, WebSocketStream, dial_websocket
from tests.support.vectors import vectors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ANY_PORT = Multiaddr.parse("/ip4/127.0.0.1/tcp/0/ws")


class Inbox:
    """Takes what a listener accepts."""

    def __init__(self) -> None:
        self.streams: asyncio.Queue[WebSocketStream] = asyncio.Queue()

    async def __call__(self, stream: WebSocketStream) -> None:
        self.streams.put_nowait(stream)


@contextlib.asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[tuple[Multiaddr, Inbox]]:
    inbox = Inbox()
    listener = await WebSocketListener.open(options.pop("address", ANY_PORT), inbox, **options)
    try:
        yield listener.addresses[0], inbox
    finally:
        await listener.close()


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[WebSocketStream, WebSocketStream]]:
    async with listening() as (address, inbox):
        dialled = await dial_websocket(address)
        accepted = await inbox.streams.get()
        yield dialled, accepted
        dialled.abort()
        accepted.abort()
        await dialled.wait_closed()


def uri(address: Multiaddr) -> str:
    return f"ws://{address.value('ip4')}:{address.value('tcp')}/"


def raw_connect(address: Multiaddr) -> connect:
    return connect(uri(address), proxy=None, compression=None)


async def http(address: Multiaddr, request: bytes) -> bytes:
    """Send bytes over TCP and return the head of the response, or nothing when there is none."""
    reader, writer = await asyncio.open_connection(address.value("ip4"), int(address.value("tcp") or 0))
    writer.write(request)
    if not request.startswith((b"GET", b"HEAD", b"POST")):
        writer.write_eof()
    try:
        return await reader.readuntil(b"\r\n\r\n") + (b"" if b"Sec-" in request else await reader.read())
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    finally:
        await discard(writer)


async def discard(writer: asyncio.StreamWriter) -> None:
    """Give a TCP connection up and wait until it is gone."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


# --- bytes ---------------------------------------------------------------------------------------------------


async def test_both_directions_and_addresses() -> None:
    async with pair() as (dialled, accepted):
        assert dialled.remote_address == accepted.local_address
        assert dialled.local_address == accepted.remote_address
        assert str(dialled.remote_address).startswith("/ip4/127.0.0.1/tcp/")
        await dialled.write(b"ping")
        await accepted.write(b"pong")
        assert await accepted.read() == b"ping"
        assert await dialled.read() == b"pong"


async def test_a_peer_id_in_the_address_is_not_looked_at() -> None:
    async with listening() as (address, _):
        peer = "12D3KooWLtBJSo87HrKNpA6bCpQ61UCUZCzrYGx4T43Bbqcc7L1p"
        stream = await dial_websocket(address.encapsulate(f"/p2p/{peer}"))
        await stream.close()


async def test_portions_and_unread() -> None:
    async with pair() as (dialled, accepted):
        await dialled.write(b"hello")
        assert await accepted.read(2) == b"he"
        accepted.unread(b"he")
        assert await accepted.read_exactly(5) == b"hello"


async def test_messages_mean_nothing() -> None:
    async with listening() as (address, inbox), raw_connect(address) as peer:
        stream = await inbox.streams.get()
        for piece in (b"", b"a", b"", b"", b"bc"):
            await peer.send(piece)
        await peer.send([b"d", b"", b"e"])
        assert await stream.read_exactly(5) == b"abcde"


async def test_large_writes_are_split() -> None:
    async with listening() as (address, inbox), raw_connect(address) as peer:
        stream = await inbox.streams.get()
        data = bytes(range(256)) * 1000
        writing = asyncio.create_task(stream.write(data))
        received = [await peer.recv()]
        while sum(map(len, received)) < len(data):
            received.append(await peer.recv())
        await writing
        assert b"".join(bytes(part) for part in received if isinstance(part, bytes)) == data
        assert max(map(len, received)) == limits.WS_MAX_SEND
        await stream.write(b"")
        await stream.write(b"x")
        assert await peer.recv() == b"x"


async def test_a_writer_waits_for_a_reader_that_does_not_read() -> None:
    async with pair() as (dialled, accepted):
        written = 0

        async def flood() -> None:
            nonlocal written
            while True:
                await dialled.write(bytes(64 * 1024))
                written += 64 * 1024

        flooding = asyncio.create_task(flood())
        before = -1
        while written != before:
            before = written
            for _ in range(200):
                await asyncio.sleep(0)
        # Socket buffers and the queue of the library, far from everything that was offered.
        assert written < 64 * 1024 * 1024
        assert not flooding.done()
        dialled.abort()
        with pytest.raises(StreamResetError):
            await flooding
        received = 0
        with pytest.raises(ConnectionLostError):
            while True:
                received += len(await accepted.read())
        assert received <= written + 64 * 1024


async def test_no_compression_in_either_direction() -> None:
    async with listening() as (address, _):
        offered = connect(uri(address), proxy=None, compression="deflate")
        async with offered as peer:
            assert peer.response is not None
            assert "Sec-WebSocket-Extensions" not in peer.response.headers
            assert "Server" not in peer.response.headers
    async with serve(lambda peer: peer.wait_closed(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        stream = await dial_websocket(Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}/ws"))
        (caller,) = server.connections
        assert caller.request is not None
        assert caller.request.path == "/"
        assert "Sec-WebSocket-Extensions" not in caller.request.headers
        assert "Sec-WebSocket-Protocol" not in caller.request.headers
        await stream.close()


async def test_small_writes_leave_at_once() -> None:
    async with pair() as pairs:
        for stream in pairs:
            sock = stream._socket.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# --- endings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closer", [0, 1], ids=["the dialler closes", "the listener closes"])
async def test_close(closer: int) -> None:
    async with pair() as both:
        left, right = both[closer], both[1 - closer]
        await left.write(b"bye")
        closing = asyncio.create_task(left.close())
        assert await right.read() == b"bye"
        assert await right.read() == b""
        assert await right.read() == b""
        await closing
        await left.close()
        with pytest.raises(ConnectionLostError):
            await right.write(b"?")
        with pytest.raises(StreamClosedError):
            await left.read()
        with pytest.raises(StreamClosedError):
            await left.write(b"?")


async def test_abort() -> None:
    async with pair() as (dialled, accepted):
        reading = asyncio.create_task(dialled.read())
        await asyncio.sleep(0)
        dialled.abort()
        dialled.abort()
        with pytest.raises(StreamResetError):
            await reading
        with pytest.raises(ConnectionLostError):
            await accepted.read()
        with pytest.raises(StreamResetError):
            await dialled.write(b"?")


async def test_closing_wakes_our_own_reader() -> None:
    async with pair() as (dialled, _):
        reading = asyncio.create_task(dialled.read())
        await asyncio.sleep(0)
        await dialled.close()
        with pytest.raises(StreamClosedError):
            await reading


@pytest.mark.parametrize("code", [1000, 1001, 1005])
async def test_orderly_close_codes_are_the_end(code: int) -> None:
    async with listening() as (address, inbox), raw_connect(address) as peer:
        stream = await inbox.streams.get()
        peer.protocol.send_close(None if code == 1005 else code)
        peer.send_data()
        assert await stream.read() == b""


async def test_other_close_codes_are_a_loss() -> None:
    async with listening() as (address, inbox), raw_connect(address) as peer:
        stream = await inbox.streams.get()
        await peer.close(1011)
        with pytest.raises(ConnectionLostError, match="1011"):
            await stream.read()


@contextlib.asynccontextmanager
async def stubborn_server() -> AsyncIterator[tuple[Multiaddr, asyncio.Queue[asyncio.StreamWriter]]]:
    """Yield a peer that upgrades the connection and then neither reads nor answers, and its connections."""
    connected: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        (key,) = [
            line.split(": ")[1] for line in request.split("\r\n") if line.startswith("Sec-WebSocket-Key")
        ]
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{head}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode())
        cast("asyncio.ReadTransport", writer.transport).pause_reading()
        connected.put_nowait(writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}/ws"), connected
        while not connected.empty():
            await discard(connected.get_nowait())


async def test_close_does_not_wait_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WS_CLOSE_TIMEOUT", 0.02)
    async with stubborn_server() as (address, _):
        stream = await dial_websocket(address)
        await stream.close()
        await stream.wait_closed()


async def test_close_does_not_wait_for_what_cannot_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WS_CLOSE_TIMEOUT", 0.02)
    async with stubborn_server() as (address, _):
        stream = await dial_websocket(address)
        writing = asyncio.create_task(stream.write(bytes(32 * 1024 * 1024)))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not writing.done()
        await stream.close()
        await stream.wait_closed()
        with pytest.raises(StreamClosedError):
            await writing


async def test_a_peer_that_says_goodbye_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WS_CLOSE_TIMEOUT", 0.02)
    async with stubborn_server() as (address, connected):
        stream = await dial_websocket(address)
        writer = await connected.get()
        writer.write(b"\x88\x00")
        assert await stream.read() == b""
        await stream.wait_closed()
        await discard(writer)


# --- what peers must not send ----------------------------------------------------------------------------------


async def test_text_is_refused() -> None:
    async with listening() as (address, inbox), raw_connect(address) as peer:
        stream = await inbox.streams.get()
        await peer.send("text")
        with pytest.raises(ConnectionLostError, match="text"):
            await stream.read()
        with pytest.raises(ConnectionClosed):
            await peer.recv()
        assert peer.close_code == 1003


async def test_messages_have_a_limit() -> None:
    async with listening() as (address, inbox), raw_connect(address) as peer:
        stream = await inbox.streams.get()
        await peer.send(bytes(limits.WS_MAX_MESSAGE + 1))
        with pytest.raises(ConnectionLostError, match="1009"):
            await stream.read()
        with pytest.raises(ConnectionClosed):
            await peer.recv()
        assert peer.close_code == 1009


async def test_pings_are_answered() -> None:
    async with listening() as (address, inbox), raw_connect(address) as peer:
        stream = await inbox.streams.get()
        await (await peer.ping())
        await peer.send(b"after")
        assert await stream.read() == b"after"


async def test_who_pings_and_never_reads_is_cut() -> None:
    async with listening() as (address, inbox), raw_connect(address) as peer:
        stream = await inbox.streams.get()
        for transport, option in (
            (stream._socket.transport, socket.SO_SNDBUF),
            (peer.transport, socket.SO_RCVBUF),
        ):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 4096)
        cast("asyncio.ReadTransport", peer.transport).pause_reading()
        reading = asyncio.create_task(stream.read())
        while not reading.done():
            assert stream._socket.transport.get_write_buffer_size() < 1024 * 1024
            for _ in range(1000):
                peer.protocol.send_ping(bytes(125))
            peer.transport.write(b"".join(peer.protocol.data_to_send()))
            await asyncio.sleep(0)
        with pytest.raises(ConnectionLostError, match="does not read the answers"):
            await reading
        peer.transport.abort()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
        (b"HEAD /robots.txt HTTP/1.0\r\n\r\n", b"HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b""),
        (b"SSH-2.0-scanner\r\n", b""),
        (b"\x00" * 70000, b""),
        (b"", b""),
    ],
)
async def test_strangers(request_bytes: bytes, status: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with listening() as (address, inbox):
        response = await http(address, request_bytes)
        assert response.startswith(status)
        if status and b"h2c" in request_bytes:
            assert b"WebSocket only" in response
        assert inbox.streams.empty()
        await (await dial_websocket(address)).close()
    assert not [record for record in caplog.records if record.name != "asyncio"]


async def test_accept_key() -> None:
    (vector,) = vectors("websocket")
    request = (
        "GET /anything HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {vector['key']}\r\nOrigin: https://example.org\r\n\r\n"
    )
    async with listening() as (address, _):
        response = await http(address, request.encode())
    assert response.startswith(b"HTTP/1.1 101 ")
    assert f"Sec-WebSocket-Accept: {vector['accept']}\r\n".encode() in response


async def test_slow_strangers_are_cut() -> None:
    async with listening(open_timeout=0.02) as (address, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.value("tcp") or 0))
        writer.write(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        await discard(writer)


async def test_admission() -> None:
    asked: list[str] = []

    def admit(remote_ip: str) -> bool:
        asked.append(remote_ip)
        return len(asked) > 1

    async with listening(admit=admit) as (address, inbox):
        with pytest.raises(DialError):
            await dial_websocket(address)
        await (await dial_websocket(address)).close()
        assert asked == ["127.0.0.1", "127.0.0.1"]
        assert inbox.streams.qsize() == 1


async def test_who_was_admitted_is_released_once() -> None:
    released: list[str] = []
    admitted: list[str] = []

    def admit(remote_ip: str) -> bool:
        admitted.append(remote_ip)
        return len(admitted) < 3

    async with listening(admit=admit, released=released.append) as (address, inbox):
        port = int(address.value("tcp") or 0)
        stream = await dial_websocket(address)
        await inbox.streams.get()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        while len(admitted) < 2:
            await asyncio.sleep(0)
        with pytest.raises(DialError):
            await dial_websocket(address)
        await discard(writer)
        stream.abort()
        while len(released) < 2:
            await asyncio.sleep(0)
    assert released == ["127.0.0.1"] * 2, "not for the one that was turned away"


async def test_a_handler_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(_stream: WebSocketStream) -> None:
        raise DialError("not you")

    async def crash(_stream: WebSocketStream) -> None:
        raise ZeroDivisionError

    for handler, records in ((refuse, 0), (crash, 1)):
        caplog.clear()
        listener = await WebSocketListener.open(ANY_PORT, handler)
        stream = await dial_websocket(listener.addresses[0])
        with pytest.raises(ConnectionLostError):
            await stream.read()
        await listener.close()
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == records


# --- listening -----------------------------------------------------------------------------------------------


async def test_closing_a_listener_ends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WS_CLOSE_TIMEOUT", 0.05)
    cancelled = asyncio.Event()

    async def for_ever(_stream: WebSocketStream) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    listener = await WebSocketListener.open(ANY_PORT, for_ever)
    address = listener.addresses[0]
    stream = await dial_websocket(address)
    _, slow = await asyncio.open_connection("127.0.0.1", int(address.value("tcp") or 0))
    closing = asyncio.create_task(listener.close())
    assert await stream.read() == b""
    await closing
    assert cancelled.is_set()
    with pytest.raises(DialError, match="Nothing answers"):
        await dial_websocket(address)
    await discard(slow)
    await stream.wait_closed()


async def test_listening_twice_at_one_place() -> None:
    async with listening() as (address, _):
        with pytest.raises(ConfigError, match="Another program"):
            await WebSocketListener.open(address, Inbox())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("/ip4/192.0.2.1/tcp/0/ws", ConfigError),
        ("/dns/localhost/tcp/0/ws", AddressError),
        ("/ip4/127.0.0.1/tcp/0", AddressError),
        ("/ip4/127.0.0.1/tcp/0/tls/ws", ConfigError),
    ],
)
async def test_where_nobody_can_listen(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await WebSocketListener.open(Multiaddr.parse(text), Inbox())


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_ipv6() -> None:
    async with listening(address=Multiaddr.parse("/ip6/::1/tcp/0/ws")) as (address, inbox):
        stream = await dial_websocket(address)
        accepted = await inbox.streams.get()
        assert str(accepted.remote_address).startswith("/ip6/::1/tcp/")
        await stream.close()


# --- TLS -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server called localhost, 127.0.0.1 and relay.example, and of a client that trusts it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "relay.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


WSS = Multiaddr.parse("/ip4/127.0.0.1/tcp/0/tls/ws")


@pytest.mark.parametrize(
    "form", ["/ip4/127.0.0.1/tcp/{}/wss", "/ip4/127.0.0.1/tcp/{}/tls/sni/relay.example/ws"]
)
async def test_tls(form: str, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = tls
    async with listening(address=WSS, ssl_context=server) as (address, inbox):
        assert str(address).endswith("/tls/ws")
        dialled = await dial_websocket(Multiaddr.parse(form.format(address.value("tcp"))), ssl_context=client)
        accepted = await inbox.streams.get()
        assert dialled.remote_address == address
        await dialled.write(bytes(200_000))
        assert await accepted.read_exactly(200_000) == bytes(200_000)
        closing = asyncio.create_task(dialled.close())
        assert await accepted.read() == b""
        await closing


async def test_tls_abort(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = tls
    async with listening(address=WSS, ssl_context=server) as (address, inbox):
        dialled = await dial_websocket(address, ssl_context=client)
        accepted = await inbox.streams.get()
        dialled.abort()
        with pytest.raises(ConnectionLostError):
            await accepted.read()


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ("/ip4/127.0.0.1/tcp/{}/tls/ws", "not to be trusted"),
        ("/ip4/127.0.0.1/tcp/{}/ws", "does not speak WebSocket|cut the connection"),
    ],
)
async def test_tls_failures(form: str, sentence: str, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with listening(address=WSS, ssl_context=tls[0]) as (address, _):
        with pytest.raises(DialError, match=sentence):
            await dial_websocket(Multiaddr.parse(form.format(address.value("tcp"))))


async def test_wrong_name_in_the_certificate(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with listening(address=WSS, ssl_context=tls[0]) as (address, _):
        text = f"/ip4/127.0.0.1/tcp/{address.value('tcp')}/tls/sni/other.example/ws"
        with pytest.raises(DialError, match=r"not to be trusted: .*other\.example"):
            await dial_websocket(Multiaddr.parse(text), ssl_context=tls[1])


async def test_tls_to_a_plain_port() -> None:
    async with listening() as (address, _):
        with pytest.raises(DialError, match=r"TLS|cut the connection"):
            await dial_websocket(Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{address.value('tcp')}/tls/ws"))


# --- dialling that fails -----------------------------------------------------------------------------------------


async def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        sentence = f"Nothing answers at 127.0.0.1 port {port}: is the relay running\\?"
        with pytest.raises(DialError, match=sentence):
            await dial_websocket(Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}/ws"))


async def scripted_server(answer: bytes) -> tuple[asyncio.Server, Multiaddr]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}/ws")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP status 200"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: ws://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
            "does not speak WebSocket",
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "does not speak",
        ),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak WebSocket"),
        (b"\xff" * 100_000, "does not speak WebSocket|cut the connection"),
        (b"", "does not speak WebSocket|cut the connection"),
    ],
)
async def test_something_else_answers(answer: bytes, sentence: str) -> None:
    server, address = await scripted_server(answer)
    async with server:
        with pytest.raises(DialError, match=sentence):
            await dial_websocket(address)


def failing(error: OSError) -> Callable[..., Any]:
    async def connect_websocket(*_args: object, **_options: object) -> None:
        raise error

    return connect_websocket


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TimeoutError("timed out"), "did not answer within 10 seconds"),
        (socket.gaierror(-2, "Name or service not known"), "name relay.example could not be found"),
        (OSError(101, "Network is unreachable"), "No network leads to relay.example port 9001"),
        (OSError("Multiple exceptions: [Errno 111] Connect call refused, …"), "Nothing answers"),
        (ConnectionResetError(104, "reset"), "cut the connection"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ],
)
async def test_sentences(error: OSError, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from p2pchat_core.net import websocket_library

    monkeypatch.setattr(websocket_library, "connect_websocket", failing(error))
    with pytest.raises(DialError, match=sentence):
        await dial_websocket(Multiaddr.parse("/dns4/relay.example/tcp/9001/ws"))


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with listening() as (address, _):
        await (await dial_websocket(address)).close()


async def test_what_cannot_be_dialled() -> None:
    with pytest.raises(AddressError):
        await dial_websocket(Multiaddr.parse("/ip4/127.0.0.1/udp/9001/quic-v1"))
