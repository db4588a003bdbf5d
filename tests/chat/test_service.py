"""The service's commands and events, apart from conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    ErrorEvent,
    MessageEvent,
    PathKind,
    ReadyEvent,
)
from p2pchat_core.chat.model import ServiceConfig
from p2pchat_core.chat.service import ChatService
from p2pchat_core.errors import (
    AddressError,
    ConfigError,
    IdentityError,
    MessageError,
    NotConnectedError,
    OwnAddressError,
    RelayUnreachableError,
)
from p2pchat_core.net.connection import Kind
from tests.chat.services import Page, QuietNode, heard, host_of, meet, running_page, running_service
from tests.support.hosts import link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STRANGER = "12D3KooWBZyVLJfQkofqLK4op9TPkHuUumCZt1ybQrPvNm7TVQV9"
RELAY = "12D3KooWRqAUEzPwKMoGstpfJVqr3aoinwKVPu4DLo9nQncbnuLk"


@pytest.fixture
async def alice(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "alice") as service:
        yield service


@pytest.fixture
async def bob(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "bob") as service:
        yield service


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with running_page() as running:
        yield running


# --- life -------------------------------------------------------------------------------------------------------------


async def test_the_identity_is_kept(tmp_path: Path) -> None:
    service = ChatService(ServiceConfig(tmp_path), make_node=QuietNode)
    events = service.subscribe()
    await service.start()
    peer_id = service.peer_id
    assert await heard(events, ReadyEvent) == ReadyEvent(peer_id)
    await service.stop()
    await service.stop()
    assert [event async for event in events] == []
    async with running_service(tmp_path) as again:
        assert again.peer_id == peer_id


async def test_two_services_cannot_share_a_directory(tmp_path: Path) -> None:
    async with running_service(tmp_path):
        with pytest.raises(ConfigError, match="Another p2pchat"):
            async with running_service(tmp_path):
                pass
    async with running_service(tmp_path):
        pass


async def test_a_key_that_others_can_read_stops_the_start_and_leaves_nothing_locked(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        peer_id = service.peer_id
    (tmp_path / "identity.key").chmod(0o644)
    with pytest.raises(IdentityError, match="chmod"):
        async with running_service(tmp_path):
            pass
    (tmp_path / "identity.key").chmod(0o600)
    async with running_service(tmp_path) as service:
        assert service.peer_id == peer_id


async def test_a_damaged_history_is_told_and_does_not_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite3").write_bytes(b"nonsense" * 1000)
    service = ChatService(ServiceConfig(tmp_path), make_node=QuietNode)
    events = service.subscribe()
    await service.start()
    error = await heard(events, ErrorEvent)
    assert error.code == "store_failed"
    assert "set aside" in error.error
    await service.stop()


async def test_a_relay_that_cannot_be_used_is_told_and_does_not_stop_the_start(tmp_path: Path) -> None:
    behind = f"/ip4/192.0.2.1/tcp/1/ws/p2p/{RELAY}/p2p-circuit/p2p/{STRANGER}"
    config = ServiceConfig(tmp_path, relays=("nonsense", behind))
    service = ChatService(config, make_node=QuietNode)
    events = service.subscribe()
    await service.start()
    for _ in range(2):
        assert (await heard(events, ErrorEvent)).code == "bad_address"
    assert service.status().relays == ()
    await service.stop()


@pytest.mark.parametrize(
    "option", [{"stun": ("http://x",)}, {"turn": ("turn:host:1",)}, {"turn": ("turn:u:p@",)}]
)
async def test_a_server_that_cannot_be_used_stops_the_start(
    tmp_path: Path, option: dict[str, tuple[str, ...]]
) -> None:
    with pytest.raises(ConfigError) as caught:
        async with running_service(tmp_path, **option):
            pass
    assert "u:p" not in str(caught.value), "a password is not repeated"


# --- connections ------------------------------------------------------------------------------------------------------


async def test_connections_are_told_and_listed(alice: ChatService, bob: ChatService) -> None:
    events = alice.subscribe()
    await meet(alice, bob, limited=True)
    relayed = await heard(events, ConnectionEvent)
    assert (relayed.peer, relayed.path, relayed.state) == (
        bob.peer_id,
        PathKind.RELAYED,
        ConnectionState.OPEN,
    )
    assert relayed.limited
    await meet(alice, bob)
    direct = await heard(events, ConnectionEvent)
    assert (direct.path, direct.state, direct.limited) == (PathKind.DIRECT, ConnectionState.OPEN, False)
    assert [(c.peer, c.path, c.limited) for c in alice.status().connections] == [
        (bob.peer_id, PathKind.DIRECT, False),
        (bob.peer_id, PathKind.RELAYED, True),
    ]
    await alice.disconnect(bob.peer_id)
    closed = [await heard(events, ConnectionEvent) for _ in range(2)]
    assert {event.state for event in closed} == {ConnectionState.CLOSED}
    assert all(event.reason for event in closed)
    assert alice.status().connections == ()


async def test_a_connection_to_a_relay_is_not_one_to_a_peer(alice: ChatService, page: Page) -> None:
    events = alice.subscribe()
    await link(host_of(alice), page.host, kind=Kind.WEBSOCKET)
    assert alice.status().connections == ()
    assert len(events) == 0


async def test_our_own_address_is_refused(alice: ChatService) -> None:
    own = f"/ip4/192.0.2.1/tcp/1/ws/p2p/{RELAY}/p2p-circuit/webrtc/p2p/{alice.peer_id}"
    with pytest.raises(OwnAddressError) as caught:
        await alice.connect(own)
    assert caught.value.code == "own_address"
    with pytest.raises(OwnAddressError):
        await alice.send(alice.peer_id, "to myself")


@pytest.mark.parametrize("address", ["", "nonsense", STRANGER, "/ip4/192.0.2.1/udp/1/quic-v1", "/webrtc"])
async def test_addresses_that_cannot_be_dialled(alice: ChatService, address: str) -> None:
    with pytest.raises(AddressError) as caught:
        await alice.connect(address)
    assert caught.value.code == "bad_address"


async def test_a_relay_that_is_not_there(alice: ChatService, unused_port: int) -> None:
    with pytest.raises(RelayUnreachableError) as caught:
        await alice.connect(f"/ip4/127.0.0.1/tcp/{unused_port}/ws/p2p/{RELAY}")
    assert caught.value.code == "relay_unreachable"
    assert alice.status().relays == (), "a mistyped relay is not tried for ever"


@pytest.mark.parametrize("command", ["ping", "disconnect"])
async def test_commands_to_a_stranger(alice: ChatService, command: str) -> None:
    with pytest.raises(NotConnectedError) as caught:
        await getattr(alice, command)(STRANGER)
    assert caught.value.code == "not_connected"
    with pytest.raises(NotConnectedError):
        await alice.echo(STRANGER, "hello")


@pytest.mark.parametrize("command", ["ping", "disconnect", "history"])
async def test_commands_to_nonsense(alice: ChatService, command: str) -> None:
    with pytest.raises(AddressError):
        await getattr(alice, command)("nonsense")


# --- talking ----------------------------------------------------------------------------------------------------------


async def test_ping_and_echo(alice: ChatService, bob: ChatService) -> None:
    await meet(alice, bob)
    assert await alice.ping(bob.peer_id) > 0
    result = await alice.echo(bob.peer_id, "hello ☃")
    assert result.text == "hello ☃"
    assert result.rtt_ms > 0
    assert alice.status().connections[0].rtt_ms is not None
    with pytest.raises(MessageError):
        await alice.echo(bob.peer_id, "x" * (limits.ECHO_MAX_TEXT + 1))


async def test_a_peer_may_be_named_by_any_form_of_its_id(alice: ChatService, bob: ChatService) -> None:
    await meet(alice, bob)
    events = bob.subscribe()
    await alice.send(host_of(bob).peer.to_cid(), "hello")
    assert (await heard(events, MessageEvent)).text == "hello"
    (message,) = await alice.history(bob.peer_id)
    assert message.peer == bob.peer_id


async def test_strangers_are_refused_when_only_contacts_may_talk(tmp_path: Path, page: Page) -> None:
    async with running_service(tmp_path / "alice", contacts_only=True) as alice:
        theirs, _ours = await meet(page, alice)
        await theirs.wait_closed()
        assert alice.status().connections == ()
        assert await alice.contacts() == []
        await alice._people.befriend(page.host.peer)
    async with running_service(tmp_path / "alice", contacts_only=True) as alice:
        events = alice.subscribe()
        theirs, _ours = await meet(page, alice)
        stream = await page.open(theirs)
        await stream.write(b"hello")
        assert (await heard(events, MessageEvent)).text == "hello"


async def test_idle_conversations_make_room(alice: ChatService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHAT_MAX_CONVERSATIONS", 2)
    monkeypatch.setattr(limits, "CHAT_MAX_KNOWN_PEERS", 3)
    for number in range(10, 15):
        async with running_page(number) as page:
            theirs, _ours = await meet(page, alice)
            events = alice.subscribe()
            stream = await page.open(theirs)
            await stream.write(b"hello")
            await heard(events, MessageEvent)
            await stream.close()
            await theirs.close()
            events.close()
    assert len(alice._conversations) <= 2
    assert len(alice.peers()) == 3
