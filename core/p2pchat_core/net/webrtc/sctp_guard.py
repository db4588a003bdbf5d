"""What aiortc 1.16 leaves open in SCTP, closed by a subclass of its transport; data channels are in `sctp_channels`.

The library keeps the handshake, the stream resets and the heartbeats. Data and acknowledgements, where nearly all
packets and all the time go, are done here and in `wire.sctp_sender` without its chunk objects, its coroutine for each
chunk and its timer for each packet. The tests in ``tests/net/webrtc/test_sctp_guard.py`` hold each guard in place; look
through them when the version of aiortc changes (`GUARDED_AIORTC`).

* A hostile packet ends this association, never the program: every packet is checked before aiortc parses it, and
  whatever goes wrong while it is handled is caught here instead of ending a task nobody looks at.
* The receive window is kept to (aiortc announces one and lets it go negative): unfinished messages, chunks out of
  order and messages not yet read count, and so does each chunk's own overhead. As a sender we keep to the peer's.
* Reassembly is linear (`reassembly`), and chunks far ahead of the next expected one are not kept.
* Late duplicates of the handshake do not set the numbering back, and an INIT sent again is one the peer can take.
* Packets are small enough for a path of 1200 bytes; nothing notices and repeats in smaller pieces what is too large.
* What the peer sends behind a stream reset is kept when it arrives before the reset.
* Channels take turns.
* Packets that arrive together are handled together and acknowledged together, and an acknowledgement waits a moment
  for data to go with it (RFC 9260 section 6.2).
"""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiortc import RTCSctpTransport
from aiortc import rtcsctptransport as lib
from google_crc32c import extend as crc32c_extend
from google_crc32c import value as crc32c

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import (
    SCTP_FRAGMENT,
    SCTP_RTO_INITIAL,
    SCTP_WINDOW,
)
from p2pchat_core.net.webrtc.sctp_inbound import SACK, InboundAssociation, run_now
from p2pchat_core.net.webrtc.sctp_packets import check_packet
from p2pchat_core.wire.sctp_sender import SctpSender

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from aiortc import RTCDataChannel, RTCDtlsTransport

__all__ = ["GUARDED_AIORTC", "GuardedAssociation", "PacketTransport"]

logger = logging.getLogger(__name__)

GUARDED_AIORTC: Final = "1.16."
_HEADER: Final = struct.Struct("!HHL")
_CHUNK: Final = struct.Struct("!BBH")
_DATA: Final = struct.Struct("!BBHLHHL")
_NO_CHECKSUM: Final = bytes(4)
_ROOM: Final = _DATA.size + SCTP_FRAGMENT
"""Bytes of chunks in a packet."""


class PacketTransport(Protocol):
    """What carries our packets besides being aiortc's DTLS transport."""

    def send_packets(self, packets: Sequence[bytes]) -> None:
        """Send each as one datagram; raises if it cannot."""


class GuardedAssociation(InboundAssociation):
    """SCTP itself: packets, numbering, windows. Channels are in `GuardedSctp`."""

    def __init__(
        self,
        transport: RTCDtlsTransport,
        *,
        port: int,
        on_established: Callable[[], None],
        on_lost: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, object], str], object],
    ) -> None:
        """Run on `transport`, which must be a `PacketTransport`.

        Args:
            port: our SCTP port.
            on_established: the association is up.
            on_lost: the association has ended; called once, with the reason as a sentence.
            spawn: runs a coroutine in a task that somebody owns.
        """
        super().__init__(transport, port)
        self._lower: PacketTransport = transport  # type: ignore[assignment]
        self._on_established = on_established
        self._on_lost = on_lost
        self._spawn = spawn
        self._acknowledged = asyncio.Event()
        self._sender = SctpSender(self._local_tsn)
        self._outbound_stream_seq = self._sender.sequences  # the library removes streams that are reset
        self._rto = SCTP_RTO_INITIAL
        self._corked = False
        self._spoke_last: RTCDataChannel | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._header = b""
        self._header_crc = 0
        # Everything here is reliable; without the extension no FORWARD TSN can make us skip data.
        self._local_partial_reliability = False

    # --- for the connection -------------------------------------------------------------------------------------

    def consumed(self, count: int) -> None:
        """`count` bytes of messages handed out have been read: the window opens again by as much."""
        self._unread = max(0, self._unread - count)
        # Tell the peer when it may have stopped because of the window, and it is worth it now.
        if self._announced < SCTP_WINDOW // 2 <= self._window and not self._ended:
            self._sack_needed = True
            self.flush()

    def fail(self, reason: str) -> None:
        """End the association because of what the peer sent."""
        if not self._ended:
            self._put((bytes(lib.AbortChunk()),))
            self._end(reason)

    async def drained(self) -> None:
        """Wait until the peer has acknowledged everything, or the association has ended."""
        while not self._ended and (self._data_channel_queue or not self._sender.idle):
            self._acknowledged.clear()
            await self._acknowledged.wait()

    # --- packets ------------------------------------------------------------------------------------------------

    def receive(self, packets: Iterable[bytes]) -> None:
        """Take packets that arrived together, then answer."""
        self._corked = True
        try:
            for packet in packets:
                if self._ended:
                    return
                try:
                    self._receive_packet(packet)
                except RemoteProtocolError as exc:
                    self.fail(str(exc))
                except Exception:
                    logger.debug("an SCTP packet could not be handled", exc_info=True)
                    self.fail("The peer sent an SCTP packet that could not be handled.")
        finally:
            self._corked = False
        self.flush()

    async def _handle_data(self, data: bytes) -> None:
        self.receive((data,))

    def _receive_packet(self, packet: bytes) -> None:
        size = len(packet)
        if size < 16 or packet[8:12] != _checksum(packet):
            return
        kind, _, length = _CHUNK.unpack_from(packet, 12)
        if kind != 0 or not 16 <= length <= size - 12 <= length + 3:
            # Anything but one chunk of data.
            check_packet(packet, self._sender.outstanding)
        tag = int.from_bytes(packet[4:8], "big")
        if tag != (0 if kind == lib.InitChunk.type else self._local_verification_tag):
            return
        position = 12
        data = False
        while position + 4 <= size and not self._ended:
            kind, flags, length = _CHUNK.unpack_from(packet, position)
            end = position + length
            if kind == 0:
                data = True
                _, _, _, tsn, stream_id, sequence, protocol = _DATA.unpack_from(packet, position)
                self._receive_data(flags, tsn, stream_id, sequence, protocol, packet[position + 16 : end])
            elif kind == 3:
                self._receive_sack(packet, position)
            elif (chunk_class := lib.CHUNK_TYPES.get(kind)) is not None:
                run_now(self._receive_chunk(chunk_class(flags=flags, body=packet[position + 4 : end])))
            position = end + (-length & 3)
        if data and self._last_received_tsn is not None:
            self._count_packet()

    async def _receive_chunk(self, chunk: lib.Chunk) -> None:
        if isinstance(chunk, lib.BaseInitChunk):
            await self._receive_init(chunk)
        elif isinstance(chunk, lib.AbortChunk | lib.ShutdownChunk):
            if isinstance(chunk, lib.ShutdownChunk):
                await self._send_chunk(lib.ShutdownAckChunk())
            self._end("The peer closed the connection.")
        elif not isinstance(chunk, lib.ForwardTsnChunk):
            await super()._receive_chunk(chunk)

    async def _receive_init(self, chunk: lib.BaseInitChunk) -> None:
        """An INIT that comes again later must be answered, but must not set the numbering back."""
        if self._association_state is not self.State.ESTABLISHED:
            self._sender.set_peer_window(chunk.advertised_rwnd)
            await super()._receive_chunk(chunk)
        elif chunk.initiate_tag == self._remote_verification_tag:
            numbering = self._last_received_tsn, self._reconfig_response_seq
            streams = self._inbound_streams_count, self._outbound_streams_count
            await super()._receive_chunk(chunk)
            self._last_received_tsn, self._reconfig_response_seq = numbering
            self._inbound_streams_count, self._outbound_streams_count = streams

    async def _send_chunk(self, chunk: lib.Chunk) -> None:
        # The library repeats its INIT with the peer's tag once it knows that, and the peer must drop such an INIT.
        self._put((bytes(chunk),), tag=0 if isinstance(chunk, lib.InitChunk) else None)

    def _put(self, contents: Sequence[bytes], *, tag: int | None = None) -> None:
        """Send a packet for each of `contents`, which are chunks."""
        if self._ended:
            return
        if not self._header or self._association_state is not self.State.ESTABLISHED:
            tag = self._remote_verification_tag if tag is None else tag
            self._header = _HEADER.pack(self._local_port, self._remote_port, tag)
            self._header_crc = crc32c(self._header + _NO_CHECKSUM)
        header, crc = self._header, self._header_crc
        packets = [
            header + crc32c_extend(crc, content).to_bytes(4, "little") + content for content in contents
        ]
        try:
            self._lower.send_packets(packets)
        except Exception as exc:
            logger.debug("SCTP packets could not be sent: %r", exc)
            self._end("The connection below was lost.")

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        if state is self.State.CLOSED:
            self._end("The connection could not be kept up.")
            return
        established = self._association_state is self.State.ESTABLISHED
        super()._set_state(state)
        if state is self.State.ESTABLISHED and not established:
            self._header = b""
            self._on_established()

    def _end(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._on_lost(reason)
        self._data_channel_queue.clear()
        self._sender.clear()
        self._inbound.clear()
        self._acknowledged.set()
        super()._set_state(self.State.CLOSED)

    # --- sending ------------------------------------------------------------------------------------------------

    def _receive_sack(self, packet: bytes, position: int) -> None:
        _, _, _, tsn, window, gap_count, duplicate_count = SACK.unpack_from(packet, position)
        gaps: list[tuple[int, int]] = []
        duplicates: tuple[int, ...] = ()
        if gap_count or duplicate_count:
            numbers = struct.unpack_from(f"!{2 * gap_count}H{duplicate_count}L", packet, position + SACK.size)
            gaps = list(zip(numbers[0 : 2 * gap_count : 2], numbers[1 : 2 * gap_count : 2], strict=True))
            duplicates = numbers[2 * gap_count :]
        if self._sender.acknowledged(tsn, window, gaps, self._running.time(), duplicates):
            self._acknowledged.set()

    def flush(self) -> None:
        """Send what may be sent now: messages, acknowledgements."""
        if self._corked or self._ended:
            return
        sender, now = self._sender, self._running.time()
        while True:
            self._cut_messages()
            sack_waits = self._sack_needed or self._sack_at is not None
            plain = not (self._sack_misordered or self._sack_duplicates)
            first_room = _ROOM - (SACK.size if plain else _ROOM) if sack_waits else None
            contents = sender.take(now, _ROOM, first_room)
            if (sack_waits and contents) or self._sack_needed:
                if contents:
                    contents[0] = self._sack() + contents[0]
                else:
                    contents = [self._sack()]
            if not contents:
                break
            self._put(contents)
            if sender.waiting or not self._data_channel_queue:
                break
        if self._reconfig_queue and self._reconfig_request is None:
            run_now(self._transmit_reconfig())  # it may have waited for these messages
        self._arm()

    async def _send(
        self,
        stream_id: int,
        pp_id: int,
        user_data: bytes,
        expiry: float | None = None,
        max_retransmits: int | None = None,
        ordered: bool = True,
    ) -> None:
        # All our channels are reliable and ordered.
        self._sender.send(stream_id, pp_id, user_data)
        self._local_tsn = self._sender.next_tsn
        self.flush()

    async def _transmit(self) -> None:
        self.flush()

    async def _data_channel_flush(self) -> None:
        self.flush()

    def _cut_messages(self) -> None:
        """Cut the next message into chunks if those before it are on their way."""
        if self._association_state is not self.State.ESTABLISHED:
            return
        sender, queue = self._sender, self._data_channel_queue
        while queue and not sender.waiting:
            channel, protocol, data = self._next_message()
            if channel.id is None:
                number = self._data_channel_id
                assert number is not None  # known before the association is established
                while number in self._data_channels:
                    number += 2
                self._data_channels[number] = channel
                channel._setId(number)
            assert channel.id is not None
            sender.send(channel.id, protocol, data)
            if protocol != lib.WEBRTC_DCEP:
                channel._addBufferedAmount(-len(data))
        self._local_tsn = sender.next_tsn

    def _next_message(self) -> tuple[RTCDataChannel, int, bytes]:
        """Take a message from the queue. Channels take turns: a ping must not wait behind a file."""
        queue = self._data_channel_queue
        turn = next((at for at, item in enumerate(queue) if item[0] is not self._spoke_last), 0)
        message = queue[turn]
        del queue[turn]
        self._spoke_last = message[0]
        return message

    def _arm(self) -> None:
        """See to it that the timer runs out in time; one that is early costs less than setting it anew each time."""
        times = [at for at in (self._sender.deadline, self._sack_at) if at is not None]
        if not times or self._ended:
            return
        when = min(times)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._running.call_at(when, self._timer_expired)

    def _timer_expired(self) -> None:
        timer, self._timer = self._timer, None
        if self._ended or timer is None:
            return
        now = max(timer.when(), self._running.time())  # a loop may be a little early
        self._sender.timeout(now)
        if self._sack_at is not None and self._sack_at <= now:
            self._sack_needed = True
        self.flush()


def _checksum(packet: bytes) -> bytes:
    """Return what the checksum field should say (RFC 9260 section 6.8)."""
    checksum: int = crc32c(packet[:8] + _NO_CHECKSUM + packet[12:])
    return checksum.to_bytes(4, "little")
