"""`/p2pchat/profile/1.0.0`: whoever opens the stream says what they are called; nothing comes back (docs/people.md).

One frame: a varint length and at most `PROFILE_MAX_NAME` bytes of UTF-8. We say it to contacts only. Nobody can ask.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from p2pchat_core import limits
from p2pchat_core.errors import P2PChatError, RemoteProtocolError
from p2pchat_core.multiformats.varint import LengthPrefixedReader, length_prefixed
from p2pchat_core.net.tasks import TaskOwner

if TYPE_CHECKING:
    from p2pchat_core.chat.people import People
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.node import Node
    from p2pchat_core.net.stream import Stream

__all__ = ["PROFILE_PROTOCOL", "Profile"]

PROFILE_PROTOCOL: Final = "/p2pchat/profile/1.0.0"

logger = logging.getLogger(__name__)


class Profile:
    """Tells contacts the name of the user, and hears theirs."""

    def __init__(self, node: Node, people: People, name: str) -> None:
        """Serve the protocol. An empty `name` is not told to anybody."""
        self._node = node
        self._people = people
        self._name = _cut(name.strip().encode("utf-8", "replace"))
        self._heard: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()
        self._tasks = TaskOwner("profile")
        node.handle(PROFILE_PROTOCOL, self._serve, on_limited=True)

    def announce(self, connection: Connection) -> None:
        """Say our name on a connection if it leads to a contact."""
        if self._name and self._people.is_contact(connection.peer):
            self._tasks.spawn(self._announce(connection), f"tell {connection.peer.short()} our name")

    async def close(self) -> None:
        """Say no more. Never raises."""
        await self._tasks.close()

    async def _announce(self, connection: Connection) -> None:
        info = await self._node.identify.identified(connection)
        if info is None or PROFILE_PROTOCOL not in info.protocols:
            return
        if not self._people.is_contact(connection.peer):
            return  # blocked or forgotten meanwhile
        try:
            async with asyncio.timeout(limits.PROFILE_TIMEOUT):
                stream = await connection.open_stream([PROFILE_PROTOCOL], allow_limited=True)
                async with stream:
                    await stream.write(length_prefixed(self._name))
        except (P2PChatError, TimeoutError) as error:
            logger.debug("%s was not told our name: %r", connection.peer.short(), error)

    async def _serve(self, stream: Stream) -> None:
        count = self._heard[stream.connection] = self._heard.get(stream.connection, 0) + 1
        if count > limits.PROFILE_MAX_PER_CONNECTION:
            stream.abort()
            return
        async with asyncio.timeout(limits.PROFILE_TIMEOUT):
            name = await _read(stream)
        await self._people.announced(stream.connection.peer, name)


async def _read(stream: Stream) -> str:
    reader = LengthPrefixedReader(limits.PROFILE_MAX_NAME)
    while (frame := reader.next()) is None:
        data = await stream.read(limits.PROFILE_MAX_NAME)
        if not data:
            raise RemoteProtocolError("The peer ended before it had said its name.")
        reader.feed(data)
    try:
        return frame.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError("The name of the peer is not UTF-8.") from None


def _cut(name: bytes) -> bytes:
    """Return as much of `name` as fits, in whole characters."""
    return name[: limits.PROFILE_MAX_NAME].decode("utf-8", "ignore").encode()
