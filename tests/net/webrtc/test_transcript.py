"""What is shown of the exchange."""

from __future__ import annotations

import asyncio

from p2pchat_core.clock import SystemClock
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.limits import STEP_DETAIL, STEP_DETAIL_CANDIDATES
from p2pchat_core.net.memory import memory_pair
from p2pchat_core.net.steps import Step, StepReport, StepTimer
from p2pchat_core.net.webrtc.config import IceConfig
from p2pchat_core.net.webrtc.transcript import Transcript
from p2pchat_core.net.webrtc.transport import accept_direct, dial_direct


async def test_both_sides_report_what_was_said() -> None:
    config = IceConfig(addresses=("127.0.0.1",))
    near, far = memory_pair()
    reports: tuple[list[StepReport], list[StepReport]] = ([], [])
    peer = PrivateKey.from_seed(bytes(32)).peer_id
    timers = [StepTimer(peer, SystemClock(), kept.append) for kept in reports]
    dialed, accepted = await asyncio.gather(
        dial_direct(near, config, timer=timers[0]), accept_direct(far, config, timer=timers[1])
    )
    for kept in reports:
        details = {report.step: report.detail.split("\n") for report in kept}
        exchange, direct = details[Step.EXCHANGE], details[Step.DIRECT]
        assert sum("m=application" in line for line in exchange) == 2
        assert any(line.startswith("a=fingerprint:") for line in exchange)
        assert not any("ice-pwd" in line for line in exchange)
        assert direct[0].count(" ⇄ ") == 1
        assert sum("typ host" in line for line in direct) >= 2
    assert "we offered" in reports[0][0].detail
    assert "the peer offered" in reports[1][0].detail
    await asyncio.gather(dialed.muxer.close(), accepted.muxer.close())


def test_a_talkative_peer_is_cut_short() -> None:
    transcript = Transcript(dialer=True)
    transcript.their_description("x" * 10**6)
    for _ in range(10**3):
        transcript.their_candidate("candidate")
    assert len(transcript.exchange()) == STEP_DETAIL
    assert transcript.direct("a", "b", 1).count("\ncandidate") == STEP_DETAIL_CANDIDATES


def test_passwords_of_the_peer_are_left_out_however_they_are_written() -> None:
    transcript = Transcript(dialer=False)
    transcript.their_description("v=0\r\n A=ICE-PWD:secret\r\na=ice-ufrag:abcd\r\n")
    assert "secret" not in transcript.exchange()
    assert "abcd" in transcript.exchange()
