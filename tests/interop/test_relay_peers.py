"""Our relay between the peers of four implementations: each reserves, connects and is connected to.

Chromium does the same in test_browser.py.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.interop.circuit_peers import KINDS, UNLIMITED, CircuitPeer, circuit_address, circuit_peer
from tests.interop.peers import Relay, our_relay
from tests.support.program import CommandFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

SIZE = 1 << 20
STRANGER = "12D3KooWGj5NgAjMWcmXFaoX3qfwSvTXBKqJTnrKQoGHYpdDbyfG"


@asynccontextmanager
async def meeting(
    tmp_path: Path, source: str, target: str, *options: str
) -> AsyncIterator[tuple[CircuitPeer, CircuitPeer, Relay]]:
    """Run a relay and two peers, of which the second has a reservation."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(our_relay(tmp_path / "relay", *options))
        near = await stack.enter_async_context(circuit_peer(source))
        far = await stack.enter_async_context(circuit_peer(target))
        await far.reserve(relay.address)
        yield near, far, relay


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
async def test_a_circuit_between_any_two(tmp_path: Path, source: str, target: str) -> None:
    """Noise, yamux and a ping inside a limited circuit, with the relay between them."""
    async with meeting(tmp_path, source, target) as (near, far, relay):
        await near.connect(circuit_address(relay.address, far.peer))
        if target != "js":  # which asks nothing of its own accord over a circuit with limits
            await far.ping(near.peer)


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
async def test_a_mebibyte_there_and_back(tmp_path: Path, source: str, target: str) -> None:
    """Without limits js and go take the circuit for a connection like any other."""
    async with meeting(tmp_path, source, target, *UNLIMITED) as (near, far, relay):
        connected = await near.connect(circuit_address(relay.address, far.peer))
        assert connected.get("limited", False) is False
        for one, other in ((near, far), (far, near)):
            echoed = await one.echo(other.peer, SIZE)
            assert (echoed["received"], echoed["same"]) == (SIZE, True)


@pytest.mark.parametrize("kind", ["go", "py"])
async def test_a_reservation_and_its_voucher(tmp_path: Path, kind: str) -> None:
    """go checks the voucher: who signed it, for whom and until when."""
    async with our_relay(tmp_path) as relay, circuit_peer(kind) as peer:
        given = await peer.reserve(relay.address)
        assert given["voucher"]
        assert 3000 < given["expires"] - time.time() <= 3600
        if kind == "go":
            assert given["addresses"] == [relay.address]
            assert (given["limit_seconds"], given["limit_bytes"]) == (1800, 16 << 20)
        again = await peer.reserve(relay.address)
        assert again["expires"] >= given["expires"]


@pytest.mark.parametrize("kind", ["js", "go", "py"])
async def test_nobody_there(tmp_path: Path, kind: str) -> None:
    async with our_relay(tmp_path) as relay, circuit_peer(kind) as peer:
        with pytest.raises(CommandFailedError) as failed:
            await peer.connect(circuit_address(relay.address, STRANGER))
        if kind != "js":  # js says only that no address could be dialled
            assert "NO_RESERVATION" in str(failed.value) or "204" in str(failed.value)


@pytest.mark.parametrize("kind", ["go", "py"])
async def test_a_full_relay_says_so(tmp_path: Path, kind: str) -> None:
    async with (
        our_relay(tmp_path, "--max-reservations", "1") as relay,
        circuit_peer("ours") as first,
        circuit_peer(kind) as second,
    ):
        await first.reserve(relay.address)
        with pytest.raises(CommandFailedError):
            await second.reserve(relay.address)
