"""Choosing a protocol on a byte stream, in either role (wire/multistream.py)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import NoAnswerError, RemoteProtocolError, UnsupportedProtocolError
from p2pchat_core.wire.multistream import MultistreamDialer, MultistreamListener

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from p2pchat_core.net.stream import ByteStream

__all__ = ["answer", "select_one"]


async def select_one(stream: ByteStream, protocols: Sequence[str]) -> str:
    """Agree with the peer on the first of `protocols` that it speaks, and return it.

    The stream is left as it is when this fails; the caller aborts it.

    Raises:
        UnsupportedProtocolError: the peer speaks none of them.
        NoAnswerError: it did not answer within `limits.NEGOTIATION_TIMEOUT`.
        RemoteProtocolError: it answered nonsense, or ended the stream.
        StreamError, ConnectionLostError: as in `ByteStream.read` and `write`.
    """
    machine = MultistreamDialer(protocols)
    names = " or ".join(protocols)
    try:
        async with asyncio.timeout(limits.NEGOTIATION_TIMEOUT):
            selected = await _run(stream, machine)
    except TimeoutError:
        seconds = f"{limits.NEGOTIATION_TIMEOUT:g} seconds"
        raise NoAnswerError(f"The peer did not say within {seconds} whether it speaks {names}.") from None
    if selected is None:
        raise UnsupportedProtocolError(f"The peer does not speak {names}.")
    return selected


async def answer(
    stream: ByteStream, supported: Callable[[str], bool], listing: Callable[[], Sequence[str]]
) -> str:
    """Answer the peer's proposals until one is `supported`, and return it.

    Raises:
        RemoteProtocolError: the peer proposed nonsense, too much or nothing that is supported.
        NoAnswerError: it took longer than `limits.NEGOTIATION_TIMEOUT`.
        StreamError, ConnectionLostError: as in `ByteStream.read` and `write`.
    """
    try:
        async with asyncio.timeout(limits.NEGOTIATION_TIMEOUT):
            selected = await _run(stream, MultistreamListener(supported, listing))
    except TimeoutError:
        raise NoAnswerError("The peer took too long to choose a protocol.") from None
    # The listening machine never refuses: it answers until the peer gives up or goes too far.
    assert selected is not None
    return selected


async def _run(stream: ByteStream, machine: MultistreamDialer | MultistreamListener) -> str | None:
    while True:
        if output := machine.take_output():
            await stream.write(output)
        if machine.done:
            break
        data = await stream.read()
        if not data:
            raise RemoteProtocolError("The peer ended the stream before a protocol was agreed on.")
        machine.receive_data(data)
    stream.unread(machine.remaining())
    return machine.selected
