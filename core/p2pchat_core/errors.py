"""Everything that can go wrong, in one tree.

::

    P2PChatError
    ├── ConfigError            what the user configured cannot be used
    ├── AddressError           a multiaddr or peer id that cannot be used
    │   └── OwnAddressError        it is our own
    ├── IdentityError          a key or key file that cannot be used
    ├── ProtocolError
    │   ├── LocalProtocolError     we misused a protocol machine (a bug here)
    │   └── RemoteProtocolError    the peer sent something it must not send
    ├── StreamError
    │   ├── StreamClosedError      used after we closed it
    │   ├── StreamResetError       either side gave it up
    │   └── StreamLimitError       a named limit refused it
    ├── ConnectionLostError    the connection below a stream is gone
    ├── HandshakeError         somebody who called did not become a connection (carries its stage)
    ├── DialError              a peer could not be reached
    │   ├── RelayUnreachableError  the relay itself could not be reached
    │   ├── NoReservationError     the relay knows of no such peer
    │   ├── WrongPeerError         somebody else answered there, or could not prove who it is
    │   ├── NoAnswerError          it did not answer in time
    │   └── UnsupportedProtocolError  the peer speaks none of the protocols asked for
    ├── RelayError             a relay refused us (carries its status)
    ├── SignalingError         the SDP exchange broke (carries its stage)
    ├── IceFailedError         no candidate pair worked (carries how many were tried)
    ├── NotConnectedError      there is no connection to that peer
    ├── UnknownContactError    nothing is known of that peer
    ├── BlockedError           the user has blocked that peer
    ├── MessageError           a text that cannot be sent as a message
    ├── CommandError           a command that is unknown or not well formed
    └── StoreError             the history could not be read or written
        └── StrangerLimitError     a stranger has said as much as is kept

Messages are sentences a user can read: what happened and, where there is something to do, what to do. ``code``
is the stable word that programs read (docs/headless.md).
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AddressError",
    "BlockedError",
    "CommandError",
    "ConfigError",
    "ConnectionLostError",
    "DialError",
    "HandshakeError",
    "IceFailedError",
    "IdentityError",
    "LocalProtocolError",
    "MessageError",
    "NoAnswerError",
    "NoReservationError",
    "NotConnectedError",
    "OwnAddressError",
    "P2PChatError",
    "PassphraseNeededError",
    "ProtocolError",
    "RelayError",
    "RelayUnreachableError",
    "RemoteProtocolError",
    "SignalingError",
    "StoreError",
    "StrangerLimitError",
    "StreamClosedError",
    "StreamError",
    "StreamLimitError",
    "StreamResetError",
    "UnknownContactError",
    "UnsupportedProtocolError",
    "WrongPassphraseError",
    "WrongPeerError",
]


class P2PChatError(Exception):
    """Base of every error this project raises on purpose."""

    code: ClassVar[str] = "internal"


class ConfigError(P2PChatError):
    """An option, a configuration file or the environment has a value that cannot be used."""

    code = "bad_config"


class AddressError(P2PChatError):
    """The text or bytes are not an address, or not one that can be dialled."""

    code = "bad_address"


class OwnAddressError(AddressError):
    """The address leads to this program itself."""

    code = "own_address"


class IdentityError(P2PChatError):
    """A key, a signature or the key file is damaged, of a foreign kind, or readable by others."""

    code = "bad_identity"


class PassphraseNeededError(IdentityError):
    """The key is kept under a passphrase, and none was given."""

    code = "passphrase_needed"


class WrongPassphraseError(IdentityError):
    """The passphrase does not open the key, or the key was changed."""

    code = "wrong_passphrase"


class ProtocolError(P2PChatError):
    """The rules of a wire protocol were broken."""

    code = "protocol_error"


class LocalProtocolError(ProtocolError):
    """This program asked a protocol machine for something its state does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer sent bytes that its protocol does not allow."""


class StreamError(P2PChatError):
    """A stream can no longer be used."""

    code = "stream_error"


class StreamClosedError(StreamError):
    """The stream was already closed on this side."""

    code = "stream_closed"


class StreamResetError(StreamError):
    """The stream was reset, so what was under way on it is lost."""

    code = "stream_reset"


class StreamLimitError(StreamError):
    """A limit (see limits.py) does not allow this stream or this much data."""

    code = "limit"


class ConnectionLostError(P2PChatError):
    """The connection ended."""

    code = "connection_lost"


class HandshakeError(P2PChatError):
    """Somebody who called did not come to prove who it is.

    Attributes:
        stage: where it ended: ``tls``, ``http``, ``forwarded`` (a proxy's headers) or ``crowded`` (it had to make
            room for others).
    """

    code = "handshake_failed"

    def __init__(self, message: str, stage: str) -> None:
        super().__init__(message)
        self.stage = stage


class DialError(P2PChatError):
    """The peer could not be reached."""

    code = "dial_failed"


class RelayUnreachableError(DialError):
    """The relay does not answer at its address; it is tried again until it does."""

    code = "relay_unreachable"


class WrongPeerError(DialError):
    """Somebody with another key answered at the address: it is out of date, or someone is in between."""

    code = "wrong_peer"


class NoReservationError(DialError):
    """The relay has no reservation for that peer: it is not online, or listens on another relay."""

    code = "no_reservation"


class NoAnswerError(DialError):
    """The peer, or the relay, is connected or was called but did not answer in time."""

    code = "timeout"


class UnsupportedProtocolError(DialError):
    """The peer is there but speaks none of the protocols that were asked for."""

    code = "unsupported_protocol"


class RelayError(P2PChatError):
    """A relay answered with a status other than OK.

    Attributes:
        status: the circuit relay v2 status number, or ``None`` when the relay did not answer properly.
    """

    code = "refused"

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SignalingError(P2PChatError):
    """The SDP exchange broke off.

    Attributes:
        stage: where it broke: ``offer``, ``answer``, ``candidates`` or ``connect``.
    """

    code = "signaling_failed"

    def __init__(self, message: str, stage: str) -> None:
        super().__init__(message)
        self.stage = stage


class IceFailedError(P2PChatError):
    """No pair of candidates connected: the two networks do not let UDP through to each other.

    Attributes:
        pairs: how many candidate pairs were tried.
    """

    code = "ice_failed"

    def __init__(self, message: str, pairs: int = 0) -> None:
        super().__init__(message)
        self.pairs = pairs


class NotConnectedError(P2PChatError):
    """There is no connection to that peer; connect to its address first."""

    code = "not_connected"


class UnknownContactError(P2PChatError):
    """That peer is neither a contact nor a stranger who asked to be one."""

    code = "unknown_contact"


class BlockedError(P2PChatError):
    """The user has blocked that peer; it must be unblocked first."""

    code = "blocked"


class MessageError(P2PChatError):
    """The text cannot be sent as a message: it is empty, too long, or not valid Unicode."""

    code = "bad_message"


class CommandError(P2PChatError):
    """A command is unknown or not well formed."""

    code = "bad_command"


class StoreError(P2PChatError):
    """The message history could not be opened, read or written."""

    code = "store_failed"


class StrangerLimitError(StoreError):
    """A stranger has said as much as is kept before they are accepted."""

    code = "stranger_limit"
