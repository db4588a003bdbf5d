"""Echo, asked and answered."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.protocols import ask_echo, serve_echo
from p2pchat_core.errors import NoAnswerError, P2PChatError, RemoteProtocolError
from p2pchat_core.wire.chat import ECHO_PROTOCOL
from tests.support.hosts import link, running_hosts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.stream import Stream


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Connection, Host]]:
    """A connection, and the host at its other end."""
    async with running_hosts(2) as (asker, answerer):
        ours, _theirs = await link(asker, answerer)
        yield ours, answerer


@pytest.mark.parametrize("size", [0, 1, 1000, 65_536, 1_048_576])
async def test_everything_comes_back(pair: tuple[Connection, Host], size: int) -> None:
    connection, answerer = pair
    answerer.handle(ECHO_PROTOCOL, serve_echo)
    data = os.urandom(size)
    async with await connection.open_stream([ECHO_PROTOCOL]) as stream:
        assert await ask_echo(stream, data) == data
        assert await stream.read() == b"", "the answerer ends its side"


async def test_it_answers_piece_by_piece_before_the_end(pair: tuple[Connection, Host]) -> None:
    connection, answerer = pair
    answerer.handle(ECHO_PROTOCOL, serve_echo)
    async with await connection.open_stream([ECHO_PROTOCOL]) as stream:
        for piece in (b"one", b"two", b"three"):
            await stream.write(piece)
            assert await stream.read_exactly(len(piece)) == piece
        await stream.close_write()
        assert await stream.read() == b""


async def test_more_than_was_sent_is_an_error(pair: tuple[Connection, Host]) -> None:
    connection, answerer = pair

    async def too_much(stream: Stream) -> None:
        await stream.write(await stream.read() + b"!")
        await stream.close_write()

    answerer.handle(ECHO_PROTOCOL, too_much)
    async with await connection.open_stream([ECHO_PROTOCOL]) as stream:
        with pytest.raises(RemoteProtocolError):
            await ask_echo(stream, b"hello")


async def test_less_than_was_sent_is_returned(pair: tuple[Connection, Host]) -> None:
    connection, answerer = pair

    async def too_little(stream: Stream) -> None:
        await stream.write((await stream.read())[:3])
        await stream.close_write()

    answerer.handle(ECHO_PROTOCOL, too_little)
    async with await connection.open_stream([ECHO_PROTOCOL]) as stream:
        assert await ask_echo(stream, b"hello") == b"hel"


async def test_a_peer_that_answers_but_does_not_end_has_answered(pair: tuple[Connection, Host]) -> None:
    connection, answerer = pair

    async def no_end(stream: Stream) -> None:
        await stream.write(await stream.read())
        await asyncio.Event().wait()

    answerer.handle(ECHO_PROTOCOL, no_end)
    async with await connection.open_stream([ECHO_PROTOCOL]) as stream:
        assert await ask_echo(stream, b"hello") == b"hello"


async def test_silence_and_a_reset_are_errors(
    pair: tuple[Connection, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, answerer = pair

    async def silence(_stream: Stream) -> None:
        await asyncio.Event().wait()

    async def reset(stream: Stream) -> None:
        stream.reset()

    answerer.handle(ECHO_PROTOCOL, reset)
    with pytest.raises(P2PChatError):
        await ask_echo(await connection.open_stream([ECHO_PROTOCOL]), b"x" * limits.MIB)
    monkeypatch.setattr("p2pchat_core.chat.protocols.ECHO_TIMEOUT", 0.01)
    answerer.handle(ECHO_PROTOCOL, silence)
    async with await connection.open_stream([ECHO_PROTOCOL]) as stream:
        with pytest.raises(NoAnswerError):
            await ask_echo(stream, b"hello")
