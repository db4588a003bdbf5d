"""Clients that break the rules on each layer: the socket, the WebSocket, yamux, and HOP.

An attack is handed a `Victim` and returns, in a few words, what it got for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core.errors import P2PChatError, StreamResetError
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.multiformats.varint import LengthPrefixedReader
from p2pchat_core.net.connection import Connection, Direction, Kind, Route
from p2pchat_core.net.host import Host
from p2pchat_core.net.memory import memory_pair
from p2pchat_core.net.negotiation import select_one
from p2pchat_core.net.noise_channel import NoiseChannel, secure_outbound
from p2pchat_core.net.tcp import dial_tcp
from p2pchat_core.net.upgrader import upgrade_inbound, upgrade_outbound
from p2pchat_core.net.websocket import dial_websocket
from p2pchat_core.wire.circuit import (
    HOP_PROTOCOL,
    STOP_PROTOCOL,
    HopConnect,
    HopReserve,
    HopStatus,
    decode_hop,
    encode,
)
from p2pchat_core.wire.noise import NOISE
from p2pchat_core.wire.tcp_address import is_tcp
from p2pchat_core.wire.yamux_frames import (
    ACK,
    DATA,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameDecoder,
    FrameHeader,
    encode_header,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.stream import ByteStream, Stream
    from p2pchat_relay.server import RelayServer

__all__ = [
    "REQUEST",
    "Attack",
    "Victim",
    "call",
    "client",
    "frames",
    "half_open",
    "hop",
    "hop_in_a_circuit",
    "noise",
    "one_after_another",
    "opened",
    "raw",
    "streams",
    "talk",
]

PATIENCE = 15.0
"""Nothing takes this long: the deadlines of the relay are shortened for the tests."""
DRIP = 0.05
"""Seconds between two bytes of a slow client; many of them pass before a shortened deadline."""
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@dataclass
class Victim:
    """The relay under attack.

    Attributes:
        host: the relay's own host.
        other: somebody with a reservation there.
        address: what of it is attacked: its WebSockets, those in TLS, or plain TCP.
        ssl_context: believes its certificate.
    """

    server: RelayServer
    host: Host
    other: PeerId
    address: Multiaddr
    ssl_context: ssl.SSLContext

    @property
    def endpoint(self) -> tuple[str, int]:
        """The same as IP address and port."""
        return str(self.address.value("ip4")), int(self.address.value("tcp") or 0)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """For connecting there, if that takes TLS."""
        return self.ssl_context if self.address.has("tls") else None

    async def dial(self) -> ByteStream:
        """Connect, up to where multistream-select begins."""
        if is_tcp(self.address.without_trailing_p2p()):
            return await dial_tcp(self.address.without_trailing_p2p())
        return await dial_websocket(self.address, ssl_context=self.tls)


Attack = Callable[[Victim], Awaitable[str]]


@asynccontextmanager
async def client(victim: Victim) -> AsyncIterator[Connection]:
    """Connect as somebody new, who keeps to the rules as far as this layer goes."""
    host = Host(PrivateKey.generate())
    try:
        yield await host.dial(victim.address, ssl_context=victim.tls)
    finally:
        await host.close()


# --- the socket -------------------------------------------------------------------------------------------------


def raw(data: bytes, *, drip: bool = False, in_tls: bool = False) -> Attack:
    """Send `data` on a bare TCP connection, or one with TLS, all at once or byte by byte, and then nothing."""

    async def attack(victim: Victim) -> str:
        tls = victim.ssl_context if in_tls else None
        reader, writer = await asyncio.open_connection(*victim.endpoint, ssl=tls)
        answer = asyncio.ensure_future(_http_answer(reader))
        try:
            await _send(writer, data, answer, drip=drip)
            return await asyncio.wait_for(answer, PATIENCE)
        finally:
            answer.cancel()
            writer.transport.abort()

    return attack


async def _send(
    writer: asyncio.StreamWriter, data: bytes, answer: asyncio.Future[str], *, drip: bool
) -> None:
    step = 1 if drip else max(1, len(data))
    for at in range(0, len(data), step):
        if answer.done():
            return
        with contextlib.suppress(ConnectionError):
            writer.write(data[at : at + step])
            await writer.drain()
        if drip:
            await asyncio.sleep(DRIP)


async def _http_answer(reader: asyncio.StreamReader) -> str:
    answer = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            answer += data
    # TLS and multistream-select may say something of their own before they give up; only HTTP's is told.
    status = bytes(answer).partition(b"\r\n")[0].decode("ascii", "replace")
    return f"{status}; closed" if status.startswith("HTTP/") else "closed"


async def half_open(
    victim: Victim, count: int, data: bytes, *, in_tls: bool = False
) -> list[asyncio.StreamWriter]:
    """Open `count` connections, bare or with TLS, that send `data` and then neither speak nor end."""
    tls = victim.ssl_context if in_tls else None

    async def one() -> asyncio.StreamWriter | None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(*victim.endpoint, ssl=tls)
            writer.write(data)
            return writer
        return None

    opened: list[asyncio.StreamWriter] = []
    for at in range(0, count, 50):
        found = await asyncio.gather(*(one() for _ in range(min(50, count - at))))
        opened += [writer for writer in found if writer is not None]
    return opened


# --- what comes after the handshake of the transport ----------------------------------------------------------------


def opened(data: bytes, *, drip: bool = False) -> Attack:
    """Send `data` where multistream-select should begin, and then nothing."""

    async def attack(victim: Victim) -> str:
        stream = await victim.dial()
        try:
            return await talk(stream, data, drip=drip)
        finally:
            stream.abort()

    return attack


def noise(data: bytes) -> Attack:
    """The same after Noise was agreed on."""

    async def attack(victim: Victim) -> str:
        stream = await victim.dial()
        try:
            await select_one(stream, [NOISE])
            return await talk(stream, data)
        finally:
            stream.abort()

    return attack


async def talk(stream: ByteStream, data: bytes, *, drip: bool = False) -> str:
    """Write `data` while reading whatever comes, to the end of the stream; return how it ended."""

    async def write() -> None:
        step = 1 if drip else max(1, len(data))
        with contextlib.suppress(P2PChatError):
            for at in range(0, len(data), step):
                await stream.write(data[at : at + step])
                if drip:
                    await asyncio.sleep(DRIP)

    writing = asyncio.ensure_future(write())
    try:
        async with asyncio.timeout(PATIENCE):
            while await stream.read():
                pass
        return "closed"
    except P2PChatError:
        return "closed"
    finally:
        writing.cancel()


# --- yamux --------------------------------------------------------------------------------------------------------


def frames(*sent: bytes, repeat: int = 1, answer_pings: bool = True) -> Attack:
    """Send these frames, `repeat` times over, on an encrypted connection, up to its end or the first stream reset."""

    async def attack(victim: Victim) -> str:
        raw_stream = await victim.dial()
        await select_one(raw_stream, [NOISE])
        channel = await secure_outbound(raw_stream, PrivateKey.generate(), victim.host.peer)
        try:
            sending = asyncio.ensure_future(_flood(channel, b"".join(sent), repeat))
            async with asyncio.timeout(PATIENCE):
                return await _goaway(channel, answer_pings)
        finally:
            sending.cancel()
            channel.abort()

    return attack


async def _flood(channel: NoiseChannel, data: bytes, repeat: int) -> None:
    with contextlib.suppress(P2PChatError):
        for _ in range(repeat):
            await channel.write(data)


async def _goaway(channel: NoiseChannel, answer_pings: bool) -> str:
    decoder, said = FrameDecoder(), ""
    with contextlib.suppress(P2PChatError):
        while data := await channel.read():
            for item in decoder.feed(data):
                if not isinstance(item, FrameHeader):
                    continue
                if item.type in (DATA, WINDOW_UPDATE) and item.flags & RST:
                    return f"{said}stream reset"
                if item.type == GO_AWAY:
                    said = f"GOAWAY {item.length}; "
                elif answer_pings and item.type == PING and item.flags == SYN:
                    await channel.write(encode_header(PING, ACK, 0, item.length))
    return f"{said}closed"


# --- HOP ----------------------------------------------------------------------------------------------------------


def hop(*messages: bytes, end: bool = False, drip: bool = False) -> Attack:
    """Send these bytes on a HOP stream, and end our side of it or not; the answers and the end are told."""

    async def attack(victim: Victim) -> str:
        async with client(victim) as connection:
            stream = await connection.open_stream([HOP_PROTOCOL])
            return await _ask(stream, messages, end=end, drip=drip)

    return attack


def one_after_another(*attacks: Attack) -> Attack:
    """Do all of these; every outcome is told."""

    async def attack(victim: Victim) -> str:
        return " / ".join([await one(victim) for one in attacks])

    return attack


def streams(count: int) -> Attack:
    """Open many HOP streams at once and ask nothing on them; how many were reset before the deadline is told."""

    async def attack(victim: Victim) -> str:
        async with client(victim) as connection:
            opened = await asyncio.gather(
                *(connection.open_stream([HOP_PROTOCOL]) for _ in range(count)), return_exceptions=True
            )
            first = [asyncio.ensure_future(_outcome(stream)) for stream in opened]
            done, _ = await asyncio.wait(first, timeout=0.1)
            late = await asyncio.gather(*first)
            return f"{len(done)} reset at once, {late.count('reset')} in all"

    return attack


async def _outcome(stream: Stream | BaseException) -> str:
    if isinstance(stream, BaseException):
        return "reset"
    return await _ask(stream, [])


def call(respond: Callable[[Stream], Awaitable[None]] | None) -> Attack:
    """Let somebody else ask for a circuit to us, and treat the relay's call like this; what they get is told.

    With ``None`` we do not even speak the protocol.
    """

    async def attack(victim: Victim) -> str:
        host = Host(PrivateKey.generate())
        if respond is not None:
            host.handle(STOP_PROTOCOL, respond)
        try:
            ours = await host.dial(victim.address, ssl_context=victim.tls)
            reserving = await _ask(await ours.open_stream([HOP_PROTOCOL]), [encode(HopReserve())])
            assert reserving == "OK; ended"
            return await hop(encode(HopConnect(host.peer)))(victim)
        finally:
            await host.close()

    return attack


def hop_in_a_circuit(message: bytes) -> Attack:
    """Ask over a connection that itself came through a relay."""

    async def attack(victim: Victim) -> str:
        host = Host(PrivateKey.generate())
        near, far = memory_pair()
        async with asyncio.TaskGroup() as group:
            outbound = group.create_task(upgrade_outbound(near, host.identity, victim.host.peer))
            inbound = group.create_task(upgrade_inbound(far, victim.host.identity))
        address = victim.address / "/p2p-circuit"
        up, down = outbound.result(), inbound.result()
        try:
            theirs = Route(Kind.CIRCUIT, Direction.INBOUND, address / host.peer.as_multiaddr())
            victim.host.adopt(down.peer, down.muxer, theirs)
            connection = host.adopt(up.peer, up.muxer, Route(Kind.CIRCUIT, Direction.OUTBOUND, address))
            return await _ask(await connection.open_stream([HOP_PROTOCOL]), [message])
        finally:
            await host.close()

    return attack


async def _ask(stream: Stream, messages: Sequence[bytes], *, end: bool = False, drip: bool = False) -> str:
    async def write() -> None:
        with contextlib.suppress(P2PChatError):
            for message in messages:
                step = 1 if drip else max(1, len(message))
                for at in range(0, len(message), step):
                    await stream.write(message[at : at + step])
                    if drip:
                        await asyncio.sleep(DRIP)
            if end:
                await stream.close_write()

    writing = asyncio.ensure_future(write())
    reader, heard = LengthPrefixedReader(4096), []
    try:
        async with asyncio.timeout(PATIENCE):
            while data := await stream.read():
                reader.feed(data)
                while (message := reader.next()) is not None:
                    answer = decode_hop(message)
                    assert isinstance(answer, HopStatus)
                    heard.append(answer.status.name)
        heard.append("ended")
    except StreamResetError:
        heard.append("reset")
    except P2PChatError:
        heard.append("connection closed")
    finally:
        writing.cancel()
    return "; ".join(heard)
