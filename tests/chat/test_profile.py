"""The names that peers give themselves are hostile input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.profile import PROFILE_PROTOCOL, _cut
from p2pchat_core.errors import P2PChatError
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.net.ping import ping
from tests.chat.services import Page, meet, running_page, running_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.chat.service import ChatService
    from p2pchat_core.net.connection import Connection


@pytest.fixture
async def alice(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "alice") as service:
        yield service


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with running_page() as running:
        yield running


async def say(page: Page, connection: Connection, data: bytes) -> None:
    try:
        stream = await connection.open_stream([PROFILE_PROTOCOL])
        await stream.write(data)
        await stream.close_write()
        await stream.read()  # ended once it was handled
    except P2PChatError:
        pass
    await ping(connection, page.host.clock)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (length_prefixed("☃\x1b[31m\u202e\x00".encode()), "☃\x1b[31m\u202e\x00"),
        (length_prefixed(b""), ""),
        (length_prefixed(b"x" * limits.PROFILE_MAX_NAME), "x" * limits.PROFILE_MAX_NAME),
        (length_prefixed(b"x" * (limits.PROFILE_MAX_NAME + 1)), "before"),
        (length_prefixed(b"\xff\xfe"), "before"),
        (length_prefixed(b"half")[:-1], "before"),
        (b"\xff" * 20, "before"),
        (b"", "before"),
    ],
)
async def test_a_name_is_taken_as_it_is_or_not_at_all(
    alice: ChatService, page: Page, data: bytes, name: str
) -> None:
    theirs, _ours = await meet(page, alice)
    await alice.accept(page.peer)
    await say(page, theirs, length_prefixed(b"before"))
    await say(page, theirs, data)
    assert (await alice.contact(page.peer)).calls_itself == name


async def test_nobody_gives_themselves_names_for_ever(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PROFILE_MAX_PER_CONNECTION", 2)
    theirs, _ours = await meet(page, alice)
    await alice.accept(page.peer)
    for name in (b"one", b"two", b"three"):
        await say(page, theirs, length_prefixed(name))
    assert (await alice.contact(page.peer)).calls_itself == "two"


async def test_names_of_those_who_say_nothing_are_bounded(
    alice: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PROFILE_MAX_UNKNOWN", 2)
    for number in range(8, 12):
        async with running_page(number) as page:
            theirs, _ours = await meet(page, alice)
            await say(page, theirs, length_prefixed(b"x"))
    assert len(alice._people._names) == 2
    assert await alice.contacts() == []


def test_our_own_name_is_cut_between_characters() -> None:
    assert _cut("☃".encode() * 100) == "☃".encode() * (limits.PROFILE_MAX_NAME // 3)
