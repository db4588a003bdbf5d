"""Whose word on where somebody can be dialled is taken, and in what order."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.address_book import AddressBook, Source
from p2pchat_core.chat.store import Store
from p2pchat_core.clock import SystemClock
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BOB = PrivateKey.from_seed(b"b" * 32).peer_id
CAROL = PrivateKey.from_seed(b"c" * 32).peer_id
RELAY = PrivateKey.from_seed(b"r" * 32).peer_id


def at(host: str, *, peer: object = BOB, form: str = "/p2p-circuit/webrtc") -> Multiaddr:
    kind = "ip6" if ":" in host else "dns4" if host[0].isalpha() else "ip4"
    return Multiaddr.parse(f"/{kind}/{host}/tcp/4001/ws/p2p/{RELAY}{form}/p2p/{peer}")


def world(*numbers: int) -> list[Multiaddr]:
    return [at(f"198.51.100.{number}") for number in numbers]


@asynccontextmanager
async def open_book(path: Path, *own_relays: str) -> AsyncIterator[AddressBook]:
    store, tasks = await Store.open(path), TaskOwner("test")
    relays = [Multiaddr.parse(relay) for relay in own_relays]
    try:
        yield await AddressBook.load(store, SystemClock(), tasks, lambda: relays)
    finally:
        await tasks.close(grace=20)
        await store.close()


async def test_what_leads_elsewhere_is_left_out(tmp_path: Path) -> None:
    async with open_book(tmp_path / "history.db") as book:
        for source in Source:
            book.learn(BOB, [at("8.8.8.8", peer=CAROL), Multiaddr.parse("/ip4/8.8.8.8/tcp/1/ws")], source)
        assert BOB not in book
        assert book.of(BOB) == []


async def test_one_for_each_relay_whatever_its_form(tmp_path: Path) -> None:
    async with open_book(tmp_path / "history.db") as book:
        bare = [address.without_trailing_p2p() for address in world(1, 2)]
        book.learn(BOB, [*bare, at("198.51.100.1", form="/p2p-circuit")], Source.RECORD)
        assert book.of(BOB) == world(1, 2)


async def test_hints_come_last_and_push_nothing_out(tmp_path: Path) -> None:
    async with open_book(tmp_path / "history.db") as book:
        book.learn(BOB, world(1), Source.USER)
        book.learn(BOB, world(100, 101), Source.HINT)
        assert book.of(BOB) == world(1, 100, 101)
        book.learn(BOB, world(2, 3), Source.RECORD)
        assert book.of(BOB) == world(2, 3, 1, 100, 101)
        book.learn(BOB, world(102), Source.HINT)
        assert book.of(BOB) == world(2, 3, 1, 102, 100, 101)
        book.learn(BOB, world(*range(120, 140)), Source.HINT)
        assert book.of(BOB) == world(2, 3, 1, 120, 121, 122, 123, 124)
        book.learn(BOB, world(124), Source.RECORD)
        assert book.of(BOB) == world(124, 2, 3, 1, 120, 121, 122, 123)
        book.learn(BOB, world(*range(30, 40)), Source.RECORD)
        assert book.of(BOB) == world(*range(30, 38))
        assert len(book.of(BOB)) == limits.CHAT_MAX_ADDRESSES


async def test_they_are_kept_in_order(tmp_path: Path) -> None:
    async with open_book(tmp_path / "history.db") as book:
        book.learn(BOB, world(1, 2), Source.USER)
        book.learn(BOB, world(3), Source.RECORD)
        book.learn(BOB, world(4), Source.HINT)
        await asyncio.sleep(0)
    async with open_book(tmp_path / "history.db") as book:
        assert book.of(BOB) == world(3, 1, 2, 4)


@pytest.mark.parametrize("source", [Source.RECORD, Source.HINT])
@pytest.mark.parametrize(
    ("known", "taken", "refused"),
    [
        ([], ["8.8.8.8", "relay.example"], ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "localhost"]),
        (["198.51.100.1"], ["8.8.8.8"], ["192.168.1.1", "127.0.0.1", "fe80::1"]),
        (["192.168.1.1"], ["10.0.0.1", "8.8.8.8"], ["127.0.0.1", "169.254.169.254"]),
        (["127.0.0.1"], ["127.0.0.2", "10.0.0.1", "8.8.8.8"], ["0.0.0.0", "224.0.0.1"]),
    ],
)
async def test_a_peer_sends_us_nowhere_nearer_than_we_went_ourselves(
    tmp_path: Path, known: list[str], taken: list[str], refused: list[str], source: Source
) -> None:
    async with open_book(tmp_path / "history.db") as book:
        trusted = [at(host) for host in known]
        book.learn(BOB, trusted, Source.USER)
        book.learn(BOB, [at(host) for host in (*refused, *taken)], source)
        assert set(book.of(BOB)) == {*trusted, *(at(host) for host in taken)}


async def test_hints_do_not_vouch_for_others(tmp_path: Path) -> None:
    async with open_book(tmp_path / "history.db", f"/ip4/10.0.0.1/tcp/1/ws/p2p/{RELAY}") as book:
        book.learn(BOB, [at("10.0.0.9"), at("127.0.0.1")], Source.HINT)
        assert book.of(BOB) == [at("10.0.0.9")], "our own relay is in a private network, too"
    async with open_book(tmp_path / "other.db") as book:
        book._known[BOB] = [at("127.0.0.1")]
        book._hints[BOB] = {at("127.0.0.1")}
        book.learn(BOB, [at("127.0.0.2")], Source.HINT)
        assert book.of(BOB) == [at("127.0.0.1")]


async def test_the_user_may_go_anywhere(tmp_path: Path) -> None:
    async with open_book(tmp_path / "history.db") as book:
        book.learn(BOB, [at("127.0.0.1"), at("localhost")], Source.USER)
        assert book.of(BOB) == [at("127.0.0.1"), at("localhost")]
