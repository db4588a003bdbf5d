"""Identify and identify push: what each peer says about itself (docs/wire.md sections 7.1 to 7.5).

The responder (or the pusher) writes one message and ends its side at once; without that end js waits five
seconds and go fails. go splits a long message in two, so a reader merges parts until the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from p2pchat_core.errors import AddressError, IdentityError, LocalProtocolError, RemoteProtocolError
from p2pchat_core.identity.envelope import open_peer_record
from p2pchat_core.identity.keys import PublicKey
from p2pchat_core.limits import (
    IDENTIFY_MAX_ADDRESSES,
    IDENTIFY_MAX_AGENT,
    IDENTIFY_MAX_MESSAGE,
    IDENTIFY_MAX_PARTS,
    IDENTIFY_MAX_PROTOCOL_NAME,
    IDENTIFY_MAX_PROTOCOLS,
    IDENTIFY_MAX_SENT,
)
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import LengthPrefixedReader, length_prefixed
from p2pchat_core.pb import identify_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from p2pchat_core.identity.envelope import PeerRecord
    from p2pchat_core.identity.peer_id import PeerId

__all__ = [
    "IDENTIFY_PROTOCOL",
    "IDENTIFY_PUSH_PROTOCOL",
    "Identify",
    "IdentifyReader",
    "encode",
    "verify",
]

IDENTIFY_PROTOCOL: Final = "/ipfs/id/1.0.0"
IDENTIFY_PUSH_PROTOCOL: Final = "/ipfs/id/push/1.0.0"


@dataclass(frozen=True, slots=True)
class Identify:
    """What a peer says about itself; nothing in it is verified until `verify` was called.

    Attributes:
        public_key: its key as protobuf; js leaves it out of pushes.
        listen_addresses: where it listens, usually without its own ``/p2p/`` at the end.
        protocols: what it answers to.
        observed_address: where it sees us, or ``None`` if it did not say or it cannot be read.
        protocol_version, agent_version: printable text of bounded length.
        signed_peer_record: an envelope with addresses signed by the peer.
    """

    public_key: bytes | None = None
    listen_addresses: tuple[Multiaddr, ...] = ()
    protocols: tuple[str, ...] = ()
    observed_address: Multiaddr | None = None
    protocol_version: str = ""
    agent_version: str = ""
    signed_peer_record: bytes | None = None


def encode(identify: Identify) -> bytes:
    """Return one length-prefixed message of at most `IDENTIFY_MAX_SENT` bytes.

    If it does not fit, it goes without the signed record where that alone takes half the space, then without
    the last
    addresses, then without the last protocols: put the important ones first.
    """
    record = identify.signed_peer_record
    if record is not None and len(record) > IDENTIFY_MAX_SENT // 2:
        record = None
    observed = identify.observed_address
    message = identify_pb2.Identify(
        publicKey=identify.public_key,
        listenAddrs=[address.to_bytes() for address in identify.listen_addresses[:IDENTIFY_MAX_ADDRESSES]],
        protocols=[_wire_text(name) for name in identify.protocols[:IDENTIFY_MAX_PROTOCOLS]],
        observedAddr=None if observed is None else observed.to_bytes(),
        protocolVersion=_wire_text(_printable(identify.protocol_version)),
        agentVersion=_wire_text(_printable(identify.agent_version)),
        signedPeerRecord=record,
    )
    for droppable in (message.listenAddrs, message.protocols):
        while droppable and message.ByteSize() > IDENTIFY_MAX_SENT:
            del droppable[-1]
    return length_prefixed(message.SerializeToString())


def verify(identify: Identify, remote_peer: PeerId) -> PeerRecord | None:
    """Check that everything signed in `identify` comes from the peer at the other end of the connection.

    Returns:
        Its signed record, if it sent one.

    Raises:
        RemoteProtocolError: the key is unusable or another peer's, or the record is damaged or another
            peer's.
    """
    if identify.public_key is not None:
        try:
            claimed = PublicKey.from_protobuf(identify.public_key).peer_id
        except IdentityError as exc:
            raise RemoteProtocolError(f"The peer identified itself with an unusable key: {exc}") from exc
        if claimed != remote_peer:
            raise RemoteProtocolError(f"{remote_peer} identified itself with the key of {claimed}.")
    if identify.signed_peer_record is None:
        return None
    try:
        key, record = open_peer_record(identify.signed_peer_record)
    except IdentityError as exc:
        raise RemoteProtocolError(f"The peer sent an unusable signed record: {exc}") from exc
    if key.peer_id != remote_peer:  # the record itself was checked to speak for its signer
        raise RemoteProtocolError(f"{remote_peer} sent a record signed by {key.peer_id}.")
    return record


class IdentifyReader:
    """Reads one identify answer or push: `receive_data` until the stream ends, then `receive_eof` returns it.

    More addresses and protocols than we keep are left out; more bytes or parts than the limits allow are an
    error.
    """

    def __init__(self) -> None:
        self._reader = LengthPrefixedReader(IDENTIFY_MAX_MESSAGE)
        self._merged = identify_pb2.Identify()
        self._parts = 0

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the stream.

        Raises:
            RemoteProtocolError: a part is damaged or too long, or there are too many parts.
        """
        self._reader.feed(data)
        while (part := self._reader.next()) is not None:
            self._parts += 1
            if self._parts > IDENTIFY_MAX_PARTS:
                raise RemoteProtocolError(f"The peer sent more than {IDENTIFY_MAX_PARTS} identify messages.")
            try:
                # Parsing into what is already there is the merge: lists grow, of single values the last
                # stays.
                self._merged.MergeFromString(part)
            except DecodeError as exc:
                raise RemoteProtocolError("The peer sent a damaged identify message.") from exc

    def receive_eof(self) -> Identify:
        """The remote ended its side: return what it said.

        Raises:
            RemoteProtocolError: the stream ended inside a message, or before the first.
        """
        if self._reader.buffered or not self._parts:
            raise RemoteProtocolError("The peer ended the identify stream before its message was complete.")
        message = self._merged
        return Identify(
            public_key=message.publicKey if message.HasField("publicKey") else None,
            listen_addresses=tuple(_addresses(message.listenAddrs)),
            protocols=tuple(_protocols(message.protocols)),
            observed_address=next(iter(_addresses([message.observedAddr])), None),
            protocol_version=_printable(_text(message.protocolVersion)),
            agent_version=_printable(_text(message.agentVersion)),
            signed_peer_record=message.signedPeerRecord or None,
        )


def _addresses(raw: Iterable[bytes]) -> Iterable[Multiaddr]:
    found: dict[Multiaddr, None] = {}
    for data in raw:
        if len(found) == IDENTIFY_MAX_ADDRESSES:
            break
        try:
            address = Multiaddr.from_bytes(data)
        except AddressError:
            continue  # a protocol we do not know; js skips these too
        if len(address):
            found[address] = None
    return found


def _protocols(raw: Iterable[str | bytes]) -> Iterable[str]:
    found: dict[str, None] = {}
    for value in raw:
        if len(found) == IDENTIFY_MAX_PROTOCOLS:
            break
        name = _text(value)
        if name and name.isprintable() and len(name) <= IDENTIFY_MAX_PROTOCOL_NAME:
            found[name] = None
    return found


def _text(value: str | bytes) -> str:
    # The protobuf runtime hands out a string field that is not UTF-8 as bytes.
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in text[:IDENTIFY_MAX_AGENT])


def _wire_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise LocalProtocolError("A protocol name or version cannot be written as UTF-8.") from exc
    return text
