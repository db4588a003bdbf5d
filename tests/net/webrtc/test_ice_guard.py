"""What the guarded ICE connection lets through, and what it sends."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
from typing import TYPE_CHECKING

from aioice import Candidate, Connection, ice, stun

from p2pchat_core.limits import ICE_MAX_REMOTES, ICE_QUEUE, ICE_RESENDS
from p2pchat_core.net.webrtc.ice_guard import GUARDED_AIOICE, GuardedIce, GuardedStun, make_candidate
from p2pchat_core.wire.candidate import CandidatePolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DTLS = b"\x16\xfe\xfd" + bytes(50)


def remote(port: int, host: str = "127.0.0.1") -> Candidate:
    """A candidate of the peer."""
    return Candidate("f", 1, "udp", 5, host, port, "host")


@contextlib.asynccontextmanager
async def guarded(*, controlling: bool = True) -> AsyncIterator[GuardedIce]:
    """A connection that has gathered on loopback."""
    connection = GuardedIce(
        controlling=controlling, addresses=["127.0.0.1"], policy=CandidatePolicy(loopback=True)
    )
    await connection.gather_candidates()
    yield connection
    await connection.close()


def socket_of(connection: GuardedIce) -> GuardedStun:
    """Its one socket."""
    (protocol,) = connection.protocols
    assert isinstance(protocol, GuardedStun)
    return protocol


def test_the_guards_were_made_for_this_version() -> None:
    assert importlib.metadata.version("aioice").startswith(GUARDED_AIOICE)
    overridden = {
        "_add_remote_candidate",
        "check_incoming",
        "connect",
        "data_received",
        "gather_candidates",
        "send",
    }
    assert overridden <= set(vars(Connection)) & set(vars(GuardedIce))
    assert {"datagram_received", "request"} <= set(vars(ice.StunProtocol)) & set(vars(GuardedStun))


async def test_only_known_far_ends_reach_dtls() -> None:
    async with guarded() as connection:
        protocol = socket_of(connection)
        await connection.add_remote_candidate(remote(5001))
        for data, port in ((b"", 5001), (DTLS, 5002), (b"x", 5003)):
            protocol.datagram_received(data, ("127.0.0.1", port))
        assert (connection._queue.qsize(), connection.dropped) == (0, 3)
        # A pair that is not checked yet: the peer may have finished before us.
        protocol.datagram_received(DTLS, ("127.0.0.1", 5001))
        assert connection._queue.qsize() == 1


async def test_the_queue_is_bounded() -> None:
    async with guarded() as connection:
        await connection.add_remote_candidate(remote(5001))
        for _ in range(ICE_QUEUE + 100):
            socket_of(connection).datagram_received(DTLS, ("127.0.0.1", 5001))
        assert connection._queue.qsize() == ICE_QUEUE


async def test_whatever_looks_like_stun_is_survived() -> None:
    async with guarded() as connection:
        header = b"\x00\x01%b\x21\x12\xa4\x42" + bytes(12)
        for length in (b"\x00\x00", b"\x00\x08", b"\xff\xff"):
            for attribute in (
                b"",
                b"\x00\x06\xff\xff",
                b"\x00\x06\x00\x04\xff\xfe\xfd\xfc",
                b"\x00\x20\x00\x01x",
            ):
                message = header.replace(b"%b", length) + attribute
                socket_of(connection).datagram_received(message, ("127.0.0.1", 5001))
        assert connection.pairs == 0


async def test_forbidden_addresses_get_no_pair_and_the_number_is_bounded() -> None:
    async with guarded() as connection:
        for host in ("224.0.0.251", "0.0.0.0", "169.254.169.254", "255.255.255.255"):
            await connection.add_remote_candidate(remote(5000, host))
        await connection.add_remote_candidate(remote(53))
        assert (connection.pairs, connection.refused) == (0, 5)
        for port in range(2000, 2000 + 2 * ICE_MAX_REMOTES):
            await connection.add_remote_candidate(remote(port))
        assert connection.pairs == ICE_MAX_REMOTES


async def test_a_peer_cannot_make_us_check_any_number_of_addresses() -> None:
    async with guarded() as connection:
        connection.remote_username, connection.remote_password = "abcd", "p" * 22
        check = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        check.attributes["PRIORITY"] = 1
        for port in range(2000, 2000 + 3 * ICE_MAX_REMOTES):
            connection.check_incoming(check, ("127.0.0.1", port), socket_of(connection))
        assert connection.pairs == ICE_MAX_REMOTES
        assert len(connection._heard) == ICE_MAX_REMOTES


async def test_a_check_of_the_peer_repeats_ours_at_once() -> None:
    """With two NATs the first check of one side is always lost (RFC 8445 section 7.3.1.4)."""
    async with guarded() as connection:
        connection.remote_username, connection.remote_password = "abcd", "p" * 22
        protocol = socket_of(connection)
        sent: list[tuple[str, int]] = []
        protocol.send_stun = lambda message, addr: sent.append(addr)  # type: ignore[method-assign]
        await connection.add_remote_candidate(remote(5001))
        connecting = asyncio.create_task(connection.connect())
        while not sent:
            await asyncio.sleep(0)
        check = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        check.attributes["PRIORITY"] = 1
        before = len(sent)
        connection.check_incoming(check, ("127.0.0.1", 5001), protocol)
        assert len(sent) == before + 1
        for _ in range(50):
            connection.check_incoming(check, ("127.0.0.1", 5001), protocol)
        assert len(sent) <= before + ICE_RESENDS
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)


async def test_two_connect_and_data_from_a_pair_given_up_still_counts() -> None:
    async with guarded() as left, guarded(controlling=False) as right:
        for one, other in ((left, right), (right, left)):
            one.remote_username, one.remote_password = other.local_username, other.local_password
            await one.add_remote_candidate(other.local_candidates[0])
        await asyncio.gather(left.connect(), right.connect())
        address = right.local_candidates[0].host, right.local_candidates[0].port
        assert left.nominated is not None
        left._check_list.clear()
        left._nominated.clear()
        assert left.knows(socket_of(left), address)
        assert not left.knows(socket_of(left), ("127.0.0.1", 9999))


async def test_our_first_flight_is_repeated_until_something_comes_back() -> None:
    async with guarded() as left, guarded(controlling=False) as right:
        for one, other in ((left, right), (right, left)):
            one.remote_username, one.remote_password = other.local_username, other.local_password
            await one.add_remote_candidate(other.local_candidates[0])
        await asyncio.gather(left.connect(), right.connect())
        await left.send(DTLS)
        async with asyncio.timeout(5):
            while right._queue.qsize() < 3:
                await asyncio.sleep(0.01)
        await right.send(b"\x17answer")
        async with asyncio.timeout(5):
            while left._flight is not None:
                await asyncio.sleep(0.01)


async def test_a_relayed_address_is_paired_with_what_is_known() -> None:
    async with guarded() as connection, guarded() as other:
        await connection.add_remote_candidate(remote(5001))
        allocation = socket_of(other)
        allocation.local_candidate = make_candidate("relay", "198.51.100.1", 6000)
        connection.add_relayed(allocation)
        assert connection.pairs == 2
        connection._protocols.remove(allocation)
