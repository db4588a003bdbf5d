"""The relay that p2pchat brings along."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_tui.embedded_relay import EmbeddedRelay

if TYPE_CHECKING:
    from pathlib import Path


async def test_it_keeps_its_identity_and_port(tmp_path: Path) -> None:
    relay = await EmbeddedRelay.start(tmp_path)
    address = relay.address
    assert address.startswith("/ip4/127.0.0.1/tcp/")
    await relay.stop()
    relay = await EmbeddedRelay.start(tmp_path)
    assert relay.address == address
    await relay.stop()
    await relay.stop()


async def test_a_port_that_was_taken_meanwhile_is_replaced_for_once(tmp_path: Path) -> None:
    relay = await EmbeddedRelay.start(tmp_path)
    before = Multiaddr.parse(relay.address)
    await relay.stop()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", int(before.value("tcp") or 0)))
        thief.listen()
        relay = await EmbeddedRelay.start(tmp_path)
        now = Multiaddr.parse(relay.address)
        assert now.value("tcp") != before.value("tcp")
        assert now.last_p2p == before.last_p2p
        await relay.stop()
    relay = await EmbeddedRelay.start(tmp_path)
    assert Multiaddr.parse(relay.address) == before
    await relay.stop()


async def test_on_the_local_network_it_gives_out_an_address_others_can_use(tmp_path: Path) -> None:
    relay = await EmbeddedRelay.start(tmp_path, lan=True)
    listening = [str(address) for address in relay._server.addresses]
    assert any(address.startswith("/ip4/127.0.0.1/") for address in listening)
    others = [address for address in listening if not address.startswith("/ip4/127.")]
    assert relay.address == (others or listening)[0]
    await relay.stop()


async def test_its_state_is_apart_from_ours(tmp_path: Path) -> None:
    relay = await EmbeddedRelay.start(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["relay"]
    await relay.stop()
    assert json.loads((tmp_path / "relay" / "ports.json").read_text())
