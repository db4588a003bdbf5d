"""The table that the results of Autobahn are compared with (`make autobahn` runs its cases)."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.conformance.autobahn import EXPECTED, unexpected
from tests.conformance.autobahn_echo import serving

RUN = {"number": 3, "expected": {"5.*": "early"}}


def result(behavior: str = "OK", close: int | None = 1000, ending: str = "OK") -> dict[str, Any]:
    return {"behavior": behavior, "remoteCloseCode": close, "behaviorClose": ending}


def test_every_reason_is_given_and_used() -> None:
    used = {reason for run in EXPECTED["runs"].values() for reason in run["expected"].values()}
    assert used == EXPECTED["reasons"].keys()


def test_what_is_as_expected() -> None:
    results = {"1.1": result(), "5.1": result("NON-STRICT", 1002), "5.2": result("OK", 1002)}
    assert unexpected(RUN, results) == []


@pytest.mark.parametrize(
    "results",
    [
        {},
        {"1.1": result()},
        {"1.1": result("FAILED"), "1.2": result(), "1.3": result()},
        {"1.1": result(ending="WRONG CODE"), "1.2": result(), "1.3": result()},
        {"1.1": result("NON-STRICT"), "1.2": result(), "1.3": result()},
        {"5.1": result("FAILED", 1002), "1.2": result(), "1.3": result()},
        {"5.1": result("OK", 1006), "1.2": result(), "1.3": result()},
    ],
)
def test_what_is_not(results: dict[str, dict[str, Any]]) -> None:
    assert unexpected(RUN, results)


async def test_the_echo_gives_messages_back() -> None:
    async with serving(text=False) as port, connect(f"ws://127.0.0.1:{port}/", proxy=None) as peer:
        for message in (b"", b"one", bytes(200_000)):
            await peer.send(message)
            assert await peer.recv() == message
        await peer.send("text")
        with pytest.raises(ConnectionClosed):
            await peer.recv()
        assert peer.close_code == 1003
    async with serving(text=True) as port, connect(f"ws://127.0.0.1:{port}/", proxy=None) as peer:
        for message in (b"", b"one"):
            await peer.send([message.decode(), "two"])
            assert await peer.recv() == message.decode() + "two"
