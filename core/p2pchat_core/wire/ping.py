"""`/ipfs/ping/1.0.0`: 32 random bytes, echoed (docs/wire.md section 7.6).

One short stream per ping: js resets ping streams ten seconds after they were opened, and allows one at a
time. Both sides must end theirs: a responder that never does makes js abort the whole connection at its next
heartbeat.
"""

from __future__ import annotations

from typing import Final

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.limits import PING_SIZE, READ_CHUNK

__all__ = ["PING_PROTOCOL", "PingClient", "PingServer"]

PING_PROTOCOL: Final = "/ipfs/ping/1.0.0"


class PingClient:
    """Sends `payload` and waits for it to come back.

    Write `take_output`, end our side of the stream at once, then feed `receive_data` until `done`.

    Args:
        payload: 32 random bytes.

    Attributes:
        done: the whole payload came back.

    Raises:
        LocalProtocolError: the payload has another length.
    """

    def __init__(self, payload: bytes) -> None:
        if len(payload) != PING_SIZE:
            raise LocalProtocolError(f"A ping carries {PING_SIZE} bytes, not {len(payload)}.")
        self._payload = payload
        self._output = payload
        self._received = 0

    @property
    def done(self) -> bool:
        """Whether the whole payload came back."""
        return self._received == PING_SIZE

    def take_output(self) -> bytes:
        """Return what to write now, once. Our side of the stream ends right after it."""
        output, self._output = self._output, b""
        return output

    def receive_data(self, data: bytes) -> None:
        """Take a part of the echo, of any length.

        Raises:
            RemoteProtocolError: these are not the bytes that were sent, or there are too many of them.
        """
        end = self._received + len(data)
        if data != self._payload[self._received : end]:
            raise RemoteProtocolError("The peer answered a ping with other bytes than were sent.")
        self._received = end

    def receive_eof(self) -> None:
        """The remote ended its side.

        Raises:
            RemoteProtocolError: before the whole echo came.
        """
        if not self.done:
            raise RemoteProtocolError(
                f"The peer ended the ping after {self._received} of {PING_SIZE} bytes of the echo."
            )


class PingServer:
    """Echoes whatever comes. After each `receive_data` write `take_output`; end our side when `ended` is set.

    Attributes:
        ended: the remote ended its side, so ours must end too, after what `take_output` still holds.
    """

    def __init__(self) -> None:
        self.ended = False
        self._output = bytearray()

    def receive_data(self, data: bytes) -> None:
        """Take bytes to echo.

        Raises:
            LocalProtocolError: the caller reads on without writing the echo, or after the end.
        """
        if self.ended:
            raise LocalProtocolError("Nothing can follow the end of a ping stream.")
        if len(self._output) + len(data) > READ_CHUNK:
            raise LocalProtocolError("Write the echo before reading more to be echoed.")
        self._output += data

    def receive_eof(self) -> None:
        """The remote ended its side."""
        self.ended = True

    def take_output(self) -> bytes:
        """Return what to write now, once."""
        output = bytes(self._output)
        self._output.clear()
        return output
