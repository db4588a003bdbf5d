"""The echo protocol, both sides: what comes in goes out again until the asker has ended its side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from p2pchat_core.errors import NoAnswerError, RemoteProtocolError
from p2pchat_core.limits import ECHO_TIMEOUT

if TYPE_CHECKING:
    from p2pchat_core.net.stream import Stream

__all__ = ["ask_echo", "serve_echo"]


async def serve_echo(stream: Stream) -> None:
    """Send back everything as it comes, then end our side. Holds one read at a time, however much comes."""
    while data := await stream.read():
        await stream.write(data)
    await stream.close_write()


async def ask_echo(stream: Stream, data: bytes) -> bytes:
    """Send `data`, end our side, and return everything that comes back.

    Raises:
        NoAnswerError: it did not all come back within `ECHO_TIMEOUT`.
        RemoteProtocolError: more came back than was sent.
        StreamError, ConnectionLostError: it broke on the way.
    """
    writer = asyncio.ensure_future(_say(stream, data))
    try:
        async with asyncio.timeout(ECHO_TIMEOUT):
            answer = await _listen(stream, len(data))
            # All of it is back, so it was all written; what is left is to hear of a failure.
            await writer
    except TimeoutError:
        raise NoAnswerError(f"The echo did not come back within {ECHO_TIMEOUT:g} s.") from None
    finally:
        writer.cancel()
        await asyncio.wait([writer])
    return answer


async def _say(stream: Stream, data: bytes) -> None:
    await stream.write(data)
    await stream.close_write()


async def _listen(stream: Stream, expected: int) -> bytes:
    parts: list[bytes] = []
    missing = expected
    # A peer that echoes but does not end its side has answered all the same: stop at the expected length.
    while missing > 0 and (data := await stream.read()):
        parts.append(data)
        missing -= len(data)
    if missing < 0:
        raise RemoteProtocolError("More came back from the echo than was sent.")
    return b"".join(parts)
