"""Ping over a connection: asking, and answering."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from p2pchat_core.errors import NoAnswerError
from p2pchat_core.limits import PING_MAX_INBOUND, PING_SIZE, PING_TIMEOUT
from p2pchat_core.wire.ping import PING_PROTOCOL, PingClient, PingServer

if TYPE_CHECKING:
    from p2pchat_core.clock import Clock
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.stream import Stream

__all__ = ["ping", "serve_ping"]


async def ping(connection: Connection, clock: Clock) -> float:
    """Send one ping, remember the round trip in ``connection.rtt`` and return it, in seconds.

    Raises:
        NoAnswerError: no answer within `PING_TIMEOUT`.
        RemoteProtocolError: something else than the ping came back.
        UnsupportedProtocolError, StreamError, ConnectionLostError: see `Connection.open_stream`.
    """
    try:
        async with (
            asyncio.timeout(PING_TIMEOUT),
            await connection.open_stream([PING_PROTOCOL], allow_limited=True) as stream,
        ):
            machine = PingClient(os.urandom(PING_SIZE))
            connection.heard_at = started = clock.monotonic()  # it has answered the proposal
            await stream.write(machine.take_output())
            # js allows one ping stream at a time and counts it as open until both sides have ended.
            await stream.close_write()
            while not machine.done:
                data = await stream.read()
                if data:
                    machine.receive_data(data)
                else:
                    machine.receive_eof()
            connection.heard_at = clock.monotonic()
            connection.rtt = connection.heard_at - started
            connection.round_trip.add(connection.rtt)
            return connection.rtt
    except TimeoutError:
        raise NoAnswerError(
            f"{connection.peer.short()} did not answer a ping within {PING_TIMEOUT:g} s."
        ) from None


def serve_ping(host: Host) -> None:
    """Answer pings on every connection of `host`."""
    host.handle(PING_PROTOCOL, _answer, on_limited=True, max_inbound=PING_MAX_INBOUND)


async def _answer(stream: Stream) -> None:
    machine = PingServer()
    while not machine.ended:
        async with asyncio.timeout(PING_TIMEOUT):
            data = await stream.read()
        if data:
            machine.receive_data(data)
            await stream.write(machine.take_output())
        else:
            machine.receive_eof()
    await stream.close_write()
