"""SCTP against peers that break the rules, and against what aiortc leaves open."""

from __future__ import annotations

import importlib.metadata
import struct

import pytest
from aiortc import rtcsctptransport as lib
from google_crc32c import value as crc32c

from p2pchat_core.limits import (
    RTC_MAX_FRAME,
    SCTP_CHUNK_OVERHEAD,
    SCTP_FRAGMENT,
    SCTP_MAX_AHEAD,
    SCTP_MAX_GAPS,
    SCTP_WINDOW,
    SCTP_WINDOW_SLACK,
)
from p2pchat_core.net.webrtc.sctp_channels import GuardedSctp
from p2pchat_core.net.webrtc.sctp_guard import GUARDED_AIORTC, GuardedAssociation
from p2pchat_core.net.webrtc.sctp_inbound import InboundAssociation
from tests.net.webrtc.sctp_pair import End, chunk_kinds, connected_pair, settle

OVERRIDDEN = {
    "_data_channel_close",
    "_data_channel_closed",
    "_data_channel_flush",
    "_data_channel_send",
    "_handle_data",
    "_mark_received",
    "_receive_chunk",
    "_reset_deferred_streams",
    "_send",
    "_send_chunk",
    "_set_state",
    "_transmit",
    "_transmit_reconfig",
}


def packet(end: End, *chunks: lib.Chunk) -> bytes:
    """A packet for `end`, as its peer would send it."""
    body = b"".join(bytes(chunk) for chunk in chunks)
    header = struct.pack("!HHL", 5000, 5000, end.sctp._local_verification_tag)
    return header + struct.pack("<L", crc32c(header + bytes(4) + body)) + body


def data_chunk(
    end: End, ahead: int, data: bytes, *, flags: int = 3, stream: int = 0, seq: int = 0
) -> lib.DataChunk:
    """A DATA chunk, `ahead` behind the last one received."""
    chunk = lib.DataChunk(flags=flags)
    assert end.sctp._last_received_tsn is not None
    chunk.tsn = (end.sctp._last_received_tsn + ahead) % 2**32
    chunk.stream_id, chunk.stream_seq = stream, seq
    chunk.protocol, chunk.user_data = lib.WEBRTC_BINARY, data
    return chunk


def test_the_guards_were_made_for_this_version() -> None:
    assert importlib.metadata.version("aiortc").startswith(GUARDED_AIORTC)


def test_what_the_guards_override_is_there() -> None:
    # A renamed method would leave its guard without effect.
    guards = (InboundAssociation, GuardedAssociation, GuardedSctp)
    for guard in guards:
        own = [name for name in vars(guard) if name.startswith("_") and not name.startswith("__")]
        overriding = [name for name in own if name in OVERRIDDEN]
        assert all(hasattr(lib.RTCSctpTransport, name) for name in overriding)
    assert {name for guard in guards for name in vars(guard)} >= OVERRIDDEN


async def test_messages_arrive_whole_and_in_order() -> None:
    server, client = await connected_pair()
    channel = server.open()
    sent = [bytes([index]) * size for index, size in enumerate((1, 1172, 1173, 16384, 5))]
    for message in sent:
        channel.send(message)
    await settle(400)
    assert [data for _, data in client.messages] == sent
    assert client.sctp.held == sum(map(len, sent))
    client.sctp.consumed(sum(map(len, sent)))
    assert client.sctp.held == 0


async def test_packets_fit_a_path_of_1200_bytes() -> None:
    server, client = await connected_pair()
    message = bytes(range(256)) * 40
    server.open().send(message)
    await settle(400)
    assert [data for _, data in client.messages] == [message]
    ipv4, udp, dtls = 20, 8, 13 + 8 + 16
    assert SCTP_FRAGMENT < max(map(len, server.dtls.sent)) <= 1200 - ipv4 - udp - dtls


async def test_lost_packets_are_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = await connected_pair()
    count = 0

    def drop(sent: bytes) -> bool:
        nonlocal count
        data = lib.DataChunk.type in chunk_kinds(sent)
        count += data
        return data and count == 3

    server.dtls.drop = drop
    channel = server.open()
    sent = [bytes([index]) * 3000 for index in range(20)]
    for message in sent:
        channel.send(message)
    await settle(800)
    assert [data for _, data in client.messages] == sent
    assert client.sctp._unfinished == 0


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(b"\x00\x03\x00\x08" + bytes(4), id="DATA cut short"),
        pytest.param(b"\x82\x00\x00\x08" + struct.pack("!HH", 13, 0), id="parameter of length 0"),
        pytest.param(b"\x82\x00\x00\x08" + struct.pack("!HH", 13, 9), id="parameter beyond the chunk"),
        pytest.param(b"\x82\x00\x00\x0c" + struct.pack("!HHL", 13, 8, 1), id="reset request cut short"),
        pytest.param(b"\x04\x00\x00\x08" + struct.pack("!HH", 1, 0), id="heartbeat parameter of length 0"),
        pytest.param(b"\x06\x00\x00\x08" + struct.pack("!HH", 1, 3), id="abort parameter of length 3"),
        pytest.param(
            b"\x03\x00\x00\x14" + struct.pack("!LLHHHH", 0, 0, 1, 0, 1, 65535), id="SACK of chunks never sent"
        ),
        pytest.param(b"\x03\x00\x00\x10" + struct.pack("!LLHH", 0, 0, 9, 9), id="SACK without its gaps"),
        pytest.param(b"\x01\x00\x00\x08" + bytes(4), id="INIT cut short"),
        pytest.param(b"\x00\x03\x00\x02", id="chunk of length 2"),
    ],
)
async def test_hostile_packets_end_only_the_association(chunk: bytes) -> None:
    server, client = await connected_pair()
    channel = client.open()
    await settle()
    header = struct.pack("!HHL", 5000, 5000, server.sctp._local_verification_tag)
    await server.inject(header + struct.pack("<L", crc32c(header + bytes(4) + chunk)) + chunk)
    await settle()
    assert len(server.lost) == 1
    assert server.lost[0].startswith("The peer ")
    # The other side hears of it at once: ABORT.
    assert client.lost == ["The peer closed the connection."]
    assert client.closed == [channel.id]


async def test_packets_that_are_not_ours_change_nothing() -> None:
    server, _ = await connected_pair()
    await server.inject(b"")
    await server.inject(bytes(11))
    good = packet(server, lib.AbortChunk())
    await server.inject(good[:-1] + b"\x01")  # checksum
    wrong_tag = struct.pack("!HHL", 5000, 5000, 1)
    body = bytes(lib.AbortChunk())
    await server.inject(wrong_tag + struct.pack("<L", crc32c(wrong_tag + bytes(4) + body)) + body)
    assert server.lost == []


async def test_a_message_that_never_ends_is_cut_off() -> None:
    server, _ = await connected_pair()
    flags, total = lib.SCTP_DATA_FIRST_FRAG, 0
    while not server.lost and total < 2 * RTC_MAX_FRAME:
        await server.inject(packet(server, data_chunk(server, 1, bytes(1172), flags=flags)))
        flags, total = 0, total + 1172
    assert "too long" in server.lost[0]
    assert total <= RTC_MAX_FRAME + 1172


async def test_many_unfinished_messages_are_cut_off() -> None:
    server, _ = await connected_pair()
    total = 0
    while not server.lost and total < 4 * SCTP_WINDOW:
        for stream in range(0, 128, 2):
            flags = lib.SCTP_DATA_FIRST_FRAG if total < 64 * 1172 else 0
            await server.inject(
                packet(server, data_chunk(server, 1, bytes(1172), flags=flags, stream=stream))
            )
            total += 1172
    assert "receive window" in server.lost[0]
    assert server.sctp.held <= SCTP_WINDOW + SCTP_WINDOW_SLACK


async def test_tiny_chunks_count_with_their_overhead() -> None:
    server, _ = await connected_pair()
    count = 0
    flags = lib.SCTP_DATA_FIRST_FRAG
    while not server.lost and count < 20_000:
        chunks = [data_chunk(server, 1 + index, b"x", flags=0 if index else flags) for index in range(50)]
        await server.inject(packet(server, *chunks))
        flags, count = 0, count + 50
    assert server.lost
    assert count <= (SCTP_WINDOW + SCTP_WINDOW_SLACK) // (1 + SCTP_CHUNK_OVERHEAD) + 50


async def test_chunks_out_of_order_are_bounded() -> None:
    server, _ = await connected_pair()
    for ahead in range(2, 2400):
        await server.inject(packet(server, data_chunk(server, ahead, bytes(1172), stream=0, seq=ahead)))
    await server.inject(packet(server, data_chunk(server, SCTP_MAX_AHEAD + 1, b"far ahead")))
    assert server.lost == []
    assert server.sctp.held <= SCTP_WINDOW
    assert len(server.sctp._sack_misordered) < 1000


async def test_acknowledgements_fit_a_datagram() -> None:
    server, _ = await connected_pair()
    for ahead in range(2, 3000, 2):
        await server.inject(packet(server, data_chunk(server, ahead, b"", seq=ahead)))
    assert server.lost == []
    assert max(map(len, server.dtls.sent)) <= 12 + 16 + 4 * SCTP_MAX_GAPS


async def test_the_window_closes_and_opens_with_reading() -> None:
    server, client = await connected_pair()
    channel = server.open()
    for _ in range(200):
        channel.send(bytes(16_000))
    await settle(6000)
    stopped = sum(len(data) for _, data in client.messages)
    assert SCTP_WINDOW // 2 < stopped <= SCTP_WINDOW + SCTP_WINDOW_SLACK
    assert client.lost == server.lost == []
    while (arrived := sum(len(data) for _, data in client.messages)) < 200 * 16_000:
        client.sctp.consumed(client.sctp.unread)
        await settle(200)
        assert (
            sum(len(data) for _, data in client.messages) > arrived
        )  # goes on without waiting for any timer


async def test_a_late_init_does_not_set_the_numbering_back() -> None:
    server, client = await connected_pair()
    init = next(sent for sent in client.dtls.sent if sent[12] == lib.InitChunk.type)
    channel = client.open()
    channel.send(b"one")
    await settle()
    before = server.sctp._last_received_tsn
    await server.inject(init)
    assert server.sctp._last_received_tsn == before
    channel.send(b"two")
    await settle()
    assert [data for _, data in server.messages] == [b"one", b"two"]


async def test_an_init_of_somebody_else_is_ignored() -> None:
    server, client = await connected_pair()
    other = End("client")
    other.sctp._remote_port = 5000
    await other.sctp._init()
    await server.inject(other.dtls.sent[-1])
    other.sctp._t1_cancel()
    channel = client.open()
    channel.send(b"still here")
    await settle()
    assert [data for _, data in server.messages] == [b"still here"]


async def test_forward_tsn_is_not_spoken() -> None:
    server, _ = await connected_pair()
    before = server.sctp._last_received_tsn
    assert before is not None
    chunk = lib.ForwardTsnChunk()
    chunk.cumulative_tsn = (before + 100) % 2**32
    await server.inject(packet(server, chunk))
    assert server.sctp._last_received_tsn == before


async def test_a_path_that_is_gone_ends_the_association_quietly() -> None:
    server, _ = await connected_pair()
    server.dtls.state = "closed"
    server.open().send(b"x")
    await settle()
    assert server.lost == ["The connection below was lost."]
    await server.sctp.stop()


async def test_drained_waits_for_the_acknowledgement() -> None:
    server, client = await connected_pair()
    channel = server.open()
    channel.send(bytes(100_000))
    await server.sctp.drained()
    assert sum(len(data) for _, data in client.messages) == 100_000
