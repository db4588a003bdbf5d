"""Choosing a protocol over a stream, however its bytes are cut."""

from __future__ import annotations

import asyncio

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import (
    DialError,
    NoAnswerError,
    RemoteProtocolError,
    StreamResetError,
    UnsupportedProtocolError,
)
from p2pchat_core.net.memory import memory_pair
from p2pchat_core.net.negotiation import answer, select_one
from p2pchat_core.wire.multistream import MULTISTREAM, encode_token

cuts = pytest.mark.parametrize("max_read", [1, 7, None])
HEADER = encode_token(MULTISTREAM)


def nothing() -> list[str]:
    return []


@cuts
async def test_both_sides_agree(max_read: int | None) -> None:
    left, right = memory_pair(max_read=max_read)
    both = (select_one(left, ["/a", "/b"]), answer(right, {"/b", "/c"}.__contains__, nothing))
    assert list(await asyncio.gather(*both)) == ["/b", "/b"]
    await left.write(b"after")
    assert await right.read_exactly(5) == b"after"


@cuts
async def test_what_follows_the_agreement_stays_in_the_stream(max_read: int | None) -> None:
    left, right = memory_pair(max_read=max_read)
    await left.write(HEADER + encode_token("/a") + b"eager")
    assert await answer(right, {"/a"}.__contains__, nothing) == "/a"
    assert await right.read_exactly(5) == b"eager"
    await right.write(b"reply")
    assert await left.read_exactly(len(HEADER) + 4 + 5) == HEADER + encode_token("/a") + b"reply"


async def test_answer_comes_in_one_piece() -> None:
    left, right = memory_pair()
    await left.write(HEADER + encode_token("/a"))
    await answer(right, {"/a"}.__contains__, nothing)
    assert await left.read() == HEADER + encode_token("/a")


async def test_what_follows_the_answer_stays_in_the_stream() -> None:
    left, right = memory_pair()
    await right.write(HEADER + encode_token("/a") + b"first")
    assert await select_one(left, ["/a"]) == "/a"
    assert await left.read() == b"first"


async def test_refused() -> None:
    left, right = memory_pair()
    answering = asyncio.create_task(answer(right, {"/x"}.__contains__, nothing))
    with pytest.raises(UnsupportedProtocolError, match="/a or /b"):
        await select_one(left, ["/a", "/b"])
    await left.close()
    with pytest.raises(RemoteProtocolError, match="ended"):
        await answering


async def test_the_peer_goes_away() -> None:
    left, right = memory_pair()
    await right.close()
    with pytest.raises(RemoteProtocolError, match="ended"):
        await answer(left, {"/a"}.__contains__, nothing)


async def test_a_reset_is_a_reset() -> None:
    left, right = memory_pair()
    selecting = asyncio.create_task(select_one(left, ["/a"]))
    await right.read()
    right.abort()
    with pytest.raises(StreamResetError):
        await selecting


async def test_a_silent_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NEGOTIATION_TIMEOUT", 0.01)
    left, right = memory_pair()
    with pytest.raises(DialError, match="did not say"):
        await select_one(left, ["/a"])
    with pytest.raises(NoAnswerError, match="too long"):
        await answer(right, {"/b"}.__contains__, nothing)


async def test_nonsense() -> None:
    left, right = memory_pair()
    await right.write(b"\x05hello")
    with pytest.raises(RemoteProtocolError):
        await select_one(left, ["/a"])
