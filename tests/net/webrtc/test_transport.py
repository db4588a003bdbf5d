"""Direct connections between two of ours, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import ConnectionLostError, IceFailedError, SignalingError
from p2pchat_core.net.memory import MemoryStream, memory_pair
from p2pchat_core.net.steps import Step, StepReport, StepTimer
from p2pchat_core.net.webrtc import transport as transport_module
from p2pchat_core.net.webrtc.config import IceConfig
from p2pchat_core.net.webrtc.peer_connection import PeerConnection
from p2pchat_core.net.webrtc.transport import DirectConnection, accept_direct, dial_direct
from p2pchat_core.wire.ice_candidate import IceCandidate
from p2pchat_core.wire.sdp import Setup, parse_sdp
from p2pchat_core.wire.signaling import (
    AnswerReceived,
    CandidateReceived,
    OfferReceived,
    SignalingDialer,
    SignalingListener,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOPBACK = IceConfig(addresses=("127.0.0.1",))


@contextlib.asynccontextmanager
async def no_leaks() -> AsyncIterator[None]:
    """Whatever ran inside must have ended, with every socket closed."""
    tasks, sockets = asyncio.all_tasks(), _udp_sockets()
    yield
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - tasks or _udp_sockets() != sockets:
            await asyncio.sleep(0.01)


def _udp_sockets() -> int:
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return sum(link.startswith("socket:") for link in links)


async def connect(config: IceConfig = LOOPBACK) -> tuple[DirectConnection, DirectConnection]:
    """Connect two nodes."""
    near, far = memory_pair()
    dialed, accepted = await asyncio.gather(dial_direct(near, config), accept_direct(far, config))
    dialed.muxer.start()
    accepted.muxer.start()
    return dialed, accepted


async def round_trip(left: DirectConnection, right: DirectConnection, data: bytes = b"ping") -> None:
    """Send `data` over and back on a new stream."""
    near = await left.muxer.open_stream()
    await near.write(data)
    far = await right.muxer.accept_stream()
    assert await far.read_exactly(len(data)) == data
    await far.write(data)
    assert await near.read_exactly(len(data)) == data
    await near.close()
    await far.close()


async def test_two_of_ours_connect_talk_and_part() -> None:
    async with no_leaks():
        dialed, accepted = await connect()
        assert (dialed.local, dialed.remote) == (accepted.remote, accepted.local)
        assert str(dialed.local).startswith("host 127.0.0.1:")
        await round_trip(dialed, accepted)
        await round_trip(accepted, dialed)
        await round_trip(dialed, accepted, os.urandom(200_000))
        await dialed.muxer.close()
        assert await accepted.muxer.wait_closed() == "The peer closed the connection."
        assert await dialed.muxer.wait_closed() == "The connection was closed on this side."
    with pytest.raises(ConnectionLostError):
        await dialed.muxer.open_stream()


async def test_signalling_streams_are_closed_when_it_is_made() -> None:
    near, far = memory_pair()
    dialed, accepted = await asyncio.gather(dial_direct(near, LOOPBACK), accept_direct(far, LOOPBACK))
    assert near._closed
    assert far._closed
    await dialed.muxer.close()
    await accepted.muxer.close()


async def test_many_streams_reuse_one_id() -> None:
    dialed, accepted = await connect()
    ids = set()
    for index in range(100):
        near = await dialed.muxer.open_stream()
        await near.write(b"%d" % index)
        await near.close_write()
        far = await accepted.muxer.accept_stream()
        assert await far.read() == b"%d" % index
        await far.close()
        assert await near.read() == b""
        ids.add(near.stream_id)
        await near.close()
        while accepted.muxer._streams or dialed.muxer._streams:
            await asyncio.sleep(0)
    assert ids == {1}
    await dialed.muxer.close()
    await accepted.muxer.close()


async def test_steps_are_reported() -> None:
    reports: list[StepReport] = []
    near, far = memory_pair()
    timer = StepTimer(None, SystemClock(), reports.append)  # type: ignore[arg-type]
    dialed, accepted = await asyncio.gather(
        dial_direct(near, LOOPBACK, timer=timer), accept_direct(far, LOOPBACK)
    )
    assert [(report.step, report.ok) for report in reports] == [(Step.EXCHANGE, True), (Step.DIRECT, True)]
    assert reports[1].detail.split("\n")[0] == f"{dialed.local} ⇄ {dialed.remote}"
    await dialed.muxer.close()
    await accepted.muxer.close()


async def test_a_stun_server_that_never_answers_delays_nothing() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        config = IceConfig(stun=(f"stun:127.0.0.1:{silent.getsockname()[1]}",), addresses=("127.0.0.1",))
        async with asyncio.timeout(4), no_leaks():  # asking it takes five seconds
            dialed, accepted = await connect(config)
            await round_trip(dialed, accepted)
            await dialed.muxer.close()
            await accepted.muxer.close()


async def test_hostile_datagrams_change_nothing() -> None:
    """Strangers who know our UDP ports, before, during and after the handshake."""
    hello = bytes.fromhex("16fefd0000000000000000003001000024000000000000") + bytes(38)
    hostile = [
        b"",
        b"x",
        hello,
        b"\x15\xfe\xfd" + bytes(10) + b"\x01\x00",
        bytes(range(20, 64)) * 20,
        b"\x00\x01" * 600,
    ]
    done = asyncio.Event()

    async def attack(gathered: asyncio.Queue[int]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            ports = {await gathered.get(), await gathered.get()}
            while not done.is_set():
                for datagram in hostile:
                    for port in ports:
                        stranger.sendto(datagram, ("127.0.0.1", port))
                    await asyncio.sleep(0.0005)

    ports: asyncio.Queue[int] = asyncio.Queue()
    peers = []
    original = PeerConnection.gather

    async def gather(peer: PeerConnection) -> None:
        await original(peer)
        peers.append(peer)
        for text in peer.host_candidates:
            ports.put_nowait(int(text.split(" ")[5]))
        await asyncio.sleep(0.01)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PeerConnection, "gather", gather)
        attacker = asyncio.create_task(attack(ports))
        dialed, accepted = await connect()
        for _ in range(20):
            await round_trip(dialed, accepted)
        done.set()
        await attacker
    assert all(peer._ice.dropped > 10 for peer in peers)
    await dialed.muxer.close()
    await accepted.muxer.close()


async def test_a_peer_that_vanishes_without_good_bye_is_noticed_when_ice_gives_up() -> None:
    async with no_leaks():
        dialed, accepted = await connect()
        near = await dialed.muxer.open_stream()
        # What the consent check of aioice does after 30 seconds without an answer (RFC 7675).
        await dialed.muxer._association._ice.close()  # type: ignore[union-attr]
        assert "can no longer be reached" in await dialed.muxer.wait_closed()
        with pytest.raises(ConnectionLostError):
            await near.read()
        accepted.muxer.abort("done")
        await accepted.muxer.wait_closed()


async def test_a_cancelled_attempt_leaves_nothing() -> None:
    near, far = memory_pair()
    async with no_leaks():
        attempt = asyncio.create_task(dial_direct(near, LOOPBACK))
        await asyncio.sleep(0.02)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
    assert far._aborted


async def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "SIGNALING_TIMEOUT", 0.05)
    near, far = memory_pair()
    async with no_leaks():
        with pytest.raises(SignalingError, match="did not send its answer") as caught:
            await dial_direct(near, LOOPBACK)
    assert caught.value.stage == "answer"
    assert far._aborted


@pytest.mark.parametrize("role", [dial_direct, accept_direct])
async def test_a_peer_that_ends_the_exchange(role: object) -> None:
    near, far = memory_pair()
    await far.close()
    async with no_leaks():
        with pytest.raises(SignalingError):
            await role(near, LOOPBACK)  # type: ignore[operator]


class Peer:
    """The other side of an exchange, by hand."""

    def __init__(self, stream: MemoryStream, machine: SignalingDialer | SignalingListener) -> None:
        self.stream = stream
        self.machine = machine
        self.candidates: list[str] = []

    async def flush(self) -> None:
        """Write what the machine has to say."""
        await self.stream.write(self.machine.take_output())

    async def sdp(self) -> str:
        """Return the description of the other side."""
        while True:
            self.machine.receive_data(await self.stream.read())
            for event in self.machine.take_events():
                if isinstance(event, OfferReceived | AnswerReceived):
                    return event.sdp
                if isinstance(event, CandidateReceived):
                    self.candidates.append(event.candidate_text)


async def test_the_offer_has_no_candidates_and_they_follow() -> None:
    near, far = memory_pair()
    attempt = asyncio.create_task(dial_direct(near, LOOPBACK))
    peer = Peer(far, SignalingListener())
    offer = await peer.sdp()
    assert "a=candidate" not in offer
    assert parse_sdp(offer).setup is Setup.ACTPASS
    peer.machine.receive_data(await far.read())
    (event,) = peer.machine.take_events()
    assert isinstance(event, CandidateReceived)
    assert " 127.0.0.1 " in event.candidate_text
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt


@pytest.mark.parametrize("change", ["fingerprint:sha-256", "webrtc-datachannel", "ice-pwd"])
async def test_a_hostile_answer(change: str) -> None:
    near, far = memory_pair()
    async with no_leaks():
        attempt = asyncio.create_task(dial_direct(near, LOOPBACK))
        machine = SignalingListener()
        peer = Peer(far, machine)
        machine.answer((await peer.sdp()).replace("actpass", "active").replace(change, "x"))
        await peer.flush()
        with pytest.raises(SignalingError) as caught:
            await attempt
    assert caught.value.stage == "answer"


async def test_an_answer_that_leaves_the_roles_open() -> None:
    near, far = memory_pair()
    attempt = asyncio.create_task(dial_direct(near, LOOPBACK))
    machine = SignalingListener()
    peer = Peer(far, machine)
    machine.answer(await peer.sdp())
    await peer.flush()
    with pytest.raises(SignalingError) as caught:
        await attempt
    assert caught.value.stage == "answer"


async def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "DIRECT_TIMEOUT", 0.2)
    near, far = memory_pair()
    async with no_leaks():
        attempt = asyncio.create_task(dial_direct(near, LOOPBACK))
        machine = SignalingListener()
        peer = Peer(far, machine)
        machine.answer((await peer.sdp()).replace("actpass", "active"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            port = silent.getsockname()[1]
            machine.candidate(IceCandidate(f"candidate:1 1 udp 5 127.0.0.1 {port} typ host", "x"))
            # None of these may be sent to: only the first pair exists.
            for host in ("224.0.0.251", "169.254.169.254", "0.0.0.0", "::ffff:255.255.255.255"):
                machine.candidate(IceCandidate(f"candidate:1 1 udp 5 {host} 5000 typ host", "x"))
            await peer.flush()
            with pytest.raises(IceFailedError) as caught:
                await attempt
    assert caught.value.pairs == 1


async def test_a_reset_signalling_stream_ends_a_hopeless_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "SIGNALING_ORPHAN_TIMEOUT", 0.05)
    near, far = memory_pair()
    async with no_leaks():
        attempt = asyncio.create_task(dial_direct(near, LOOPBACK))
        machine = SignalingListener()
        peer = Peer(far, machine)
        machine.answer((await peer.sdp()).replace("actpass", "active"))
        await peer.flush()
        await asyncio.sleep(0.02)
        far.abort()
        with pytest.raises(IceFailedError, match="named no address") as caught:
            await attempt
    assert caught.value.pairs == 0


async def test_a_peer_with_another_certificate_is_refused() -> None:
    """The fingerprint came over the authenticated circuit; whoever answers at the address must have that key."""
    near, middle_near = memory_pair()
    middle_far, far = memory_pair()

    async def relay(source: MemoryStream, target: MemoryStream, *, forge: bool) -> None:
        mark = b"a=fingerprint:sha-256 "
        while data := await source.read():
            if forge and mark in data:
                at = data.index(mark) + len(mark)
                data = data[:at] + (b"11" if data[at : at + 2] == b"00" else b"00") + data[at + 2 :]
            await target.write(data)

    pumps = [
        asyncio.create_task(relay(middle_near, middle_far, forge=False)),
        asyncio.create_task(relay(middle_far, middle_near, forge=True)),
    ]
    dialing = asyncio.create_task(dial_direct(near, LOOPBACK))
    accepting = asyncio.create_task(accept_direct(far, LOOPBACK))
    with pytest.raises(SignalingError, match="certificate") as caught:
        await dialing
    assert caught.value.stage == "connect"
    for task in (*pumps, accepting):
        task.cancel()
    for result in await asyncio.gather(*pumps, accepting, return_exceptions=True):
        if isinstance(result, DirectConnection):
            await result.muxer.close()


def test_importing_the_configuration_loads_no_webrtc() -> None:
    code = (
        "import sys, p2pchat_core.net.webrtc, p2pchat_core.net.webrtc.config;"
        "assert not {'aiortc', 'aioice', 'av'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
