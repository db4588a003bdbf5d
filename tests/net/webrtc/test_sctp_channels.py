"""Data channels: reuse of ids, and peers that break the rules of DCEP."""

from __future__ import annotations

import pytest
from aiortc import rtcsctptransport as lib

from p2pchat_core.errors import StreamLimitError
from p2pchat_core.limits import RTC_MAX_CHANNELS, RTC_OPEN_BURST
from p2pchat_core.wire.dcep import ACK, ChannelOpen
from tests.net.webrtc.sctp_pair import End, chunk_kinds, connected_pair, settle


async def dcep(end: End, stream: int, message: bytes, protocol: int = lib.WEBRTC_DCEP) -> None:
    """Let `end`'s peer send something on a stream, past its own rules."""
    await end.sctp._send(stream, protocol, message)
    await settle()


async def test_ids_follow_the_dtls_role() -> None:
    server, client = await connected_pair()
    assert server.open() is not None
    await settle()
    mine, theirs = server.open(), client.open()
    await settle()
    assert (mine.id, theirs.id) == (3, 0)


async def test_one_message_follows_the_opening_at_once_and_the_others_the_answer() -> None:
    server, client = await connected_pair()
    channel = server.open()
    client.dtls.drop = lambda sent: lib.DataChunk.type in chunk_kinds(sent)  # the answer
    for message in (b"first", b"second", b"third"):
        channel.send(message)
    await settle()
    assert client.messages == [(1, b"first")]
    assert channel.bufferedAmount == len(b"second" + b"third")
    client.dtls.drop = lambda sent: False
    client.expire()
    await settle()
    assert [data for _, data in client.messages] == [b"first", b"second", b"third"]
    assert channel.bufferedAmount == 0


async def test_closing_before_the_answer_loses_nothing() -> None:
    server, client = await connected_pair()
    channel = server.open()
    for message in (b"first", b"second"):
        channel.send(message)
    await settle(1)  # announced, not answered
    assert (channel.id, channel.readyState) == (1, "connecting")
    channel.close()
    await settle()
    assert [data for _, data in client.messages] == [b"first", b"second"]
    assert channel.readyState == "closed"


async def test_messages_may_follow_the_opening_at_once() -> None:
    server, client = await connected_pair()
    channel = server.open()
    channel.send(b"early")
    assert channel.readyState == "connecting"
    await settle()
    assert channel.readyState == "open"
    assert client.messages == [(1, b"early")]


async def test_both_ends_close_and_the_id_is_free() -> None:
    server, client = await connected_pair()
    for round_ in range(20):
        channel = server.open()
        channel.send(b"%d" % round_)
        await settle()
        assert channel.id == 1
        channel.close()
        await settle()
        assert server.closed[-1] == client.closed[-1] == 1
    assert [data for _, data in client.messages] == [b"%d" % round_ for round_ in range(20)]
    assert client.sctp._inbound == {}


async def test_no_id_is_used_before_both_resets_are_done() -> None:
    server, client = await connected_pair()
    first = server.open()
    await settle()
    client.dtls.drop = lambda sent: sent[12] == lib.ReconfigChunk.type
    first.close()
    await settle()
    second = server.open()
    await settle()
    assert (first.id, second.id) == (1, 3)


async def test_a_reused_id_is_accepted_before_the_answer_to_our_reset_arrives() -> None:
    """js opens id 1 again about a millisecond after `init` was closed (docs/wire.md section 10.4)."""
    server, client = await connected_pair()
    first = server.open("init")
    await settle()
    responses = 0

    def drop(sent: bytes) -> bool:
        nonlocal responses
        response = sent[12] == lib.ReconfigChunk.type and sent[16:18] == b"\x00\x10"
        responses += response
        return response

    server.dtls.drop = drop
    first.close()
    await settle()
    assert responses == 1
    assert client.channels[0].readyState == "closing"
    server.dtls.drop = lambda sent: False
    again = server.open()
    again.send(b"second life")
    await settle()
    assert again.id == 1
    assert client.lost == server.lost == []
    assert client.messages == [(1, b"second life")]
    client.channels[-1].send(b"answer")
    await settle()
    assert server.messages == [(1, b"answer")]
    again.close()
    await settle()
    assert client.closed == [1, 1]


async def test_what_follows_a_reset_may_arrive_before_it() -> None:
    server, client = await connected_pair()
    first = server.open()
    first.send(b"old")
    await settle()
    held: list[bytes] = []

    def hold(sent: bytes) -> bool:
        reset = sent[12] == lib.ReconfigChunk.type and sent[16:18] == b"\x00\x0d" and not held
        if reset:
            held.append(sent)
        return reset

    server.dtls.drop = hold
    first.close()
    await settle()
    # The peer sends on the stream as if the reset were done, and only then the reset arrives.
    server.sctp._outbound_stream_seq.pop(1)
    await dcep(server, 1, b"new", lib.WEBRTC_BINARY)
    assert client.messages == [(1, b"old")]
    await client.inject(held[0])
    await settle()
    assert client.lost == []
    assert client.sctp._unfinished == 0


async def test_a_second_opening_of_an_open_channel_ends_the_association() -> None:
    server, client = await connected_pair()
    server.open().send(b"in use")
    await settle()
    await dcep(server, 1, ChannelOpen().encode())
    assert client.lost == ["The peer opened a data channel that is open already."]


async def test_a_channel_announced_twice_before_it_is_used_is_one_channel() -> None:
    server, client = await connected_pair()
    channel = server.open()
    await settle()
    await dcep(server, 1, ChannelOpen().encode())
    channel.send(b"one")
    await settle()
    assert client.lost == []
    assert client.messages == [(1, b"one")]
    assert len(client.channels) == 1


async def test_an_opening_with_our_parity_ends_the_association() -> None:
    server, client = await connected_pair()
    await dcep(server, 2, ChannelOpen().encode())
    assert client.lost == ["The peer opened a data channel with one of our numbers."]


@pytest.mark.parametrize("message", [b"", b"\x03", b"\x09", ChannelOpen("ab").encode()[:-2] + b"\xff\xff"])
async def test_damaged_dcep_ends_the_association(message: bytes) -> None:
    server, client = await connected_pair()
    if not message:
        await client.sctp._data_channel_receive(1, lib.WEBRTC_BINARY_EMPTY, b"")
        assert client.lost == []
        return
    await dcep(server, 1, message)
    assert len(client.lost) == 1


async def test_an_answer_for_no_channel_is_ignored() -> None:
    server, client = await connected_pair()
    await dcep(server, 77, ACK)
    assert client.lost == []


@pytest.mark.parametrize("kind", [1, 2, 0x80, 0x82])
async def test_unreliable_and_unordered_channels_are_closed(kind: int) -> None:
    server, client = await connected_pair()
    await dcep(server, 1, ChannelOpen(kind=kind).encode())
    assert client.channels == []
    assert client.lost == []
    assert client.sctp._data_channels[1].readyState == "closing"


async def test_text_closes_the_channel() -> None:
    server, client = await connected_pair()
    channel = server.open()
    channel.send("\udcff".encode("utf8", "surrogatepass").decode("latin1"))
    await settle()
    assert client.messages == []
    assert client.lost == []
    assert channel.readyState == "closed"


async def test_too_many_channels_are_closed_at_once() -> None:
    server, client = await connected_pair()
    for _ in range(RTC_MAX_CHANNELS):
        server.open()
        await settle(5)
    await settle(100)
    with pytest.raises(StreamLimitError):
        server.sctp.open_channel("")
    await dcep(server, 2 * RTC_MAX_CHANNELS + 1, ChannelOpen().encode())
    assert len(client.channels) == RTC_MAX_CHANNELS
    assert client.lost == []


async def test_a_flood_of_openings_ends_the_association() -> None:
    _, client = await connected_pair()
    for _ in range(RTC_OPEN_BURST + 200):
        try:
            client.sctp._count_open()
        except Exception as exc:
            assert "faster" in str(exc)
            return
    raise AssertionError("no limit")


async def test_messages_dropped_at_reset_are_not_sent() -> None:
    server, client = await connected_pair()
    channel = server.open()
    for _ in range(20):
        channel.send(bytes(16_000))
    server.sctp.discard(channel)
    assert channel.bufferedAmount == 0
    channel.send(b"last")
    await settle(200)
    # The one that was under way already is not torn.
    assert client.messages == [(1, bytes(16_000)), (1, b"last")]


async def test_a_slow_channel_does_not_hold_up_the_closing_of_others() -> None:
    server, client = await connected_pair()
    bulk, small = server.open(), server.open()
    await settle()
    for _ in range(40):
        bulk.send(bytes(16_000))
    bulk.close()
    small.close()
    while not server.closed:
        client.sctp.consumed(client.sctp.unread)
        await settle(1)
    assert server.closed == [3]
    assert bulk.bufferedAmount > 0
    while bulk.readyState != "closed":
        client.sctp.consumed(client.sctp.unread)
        await settle(1)
    assert sum(len(data) for _, data in client.messages) == 40 * 16_000  # closing lost nothing


async def test_channels_take_turns() -> None:
    server, client = await connected_pair()
    file, chat = server.open(), server.open()
    await settle()
    for _ in range(10):
        file.send(bytes(16_000))
    for text in (b"one", b"two"):
        chat.send(text)
    await settle(2000)
    order = [number for number, _ in client.messages]
    assert order[:4] == [file.id, chat.id, file.id, chat.id]
    assert [data for number, data in client.messages if number == chat.id] == [b"one", b"two"]
    assert len(order) == 12
