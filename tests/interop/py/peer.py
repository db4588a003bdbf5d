"""A py-libp2p peer for the tests: it reserves on a relay, dials through it and is dialled.

Told what to do by JSON lines on standard input, and answers on standard output, like the programs in ../js. It runs
in an environment of its own, next to this file, since what py-libp2p needs is not what the program needs.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextlib import AsyncExitStack
from typing import Any

import trio
from libp2p import new_host
from libp2p.custom_types import TProtocol
from libp2p.host.ping import ID as PING
from libp2p.host.ping import handle_ping, perform_ping_roundtrip
from libp2p.io.utils import read_exactly
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.relay.circuit_v2.config import RelayConfig, RelayRole
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID, CircuitV2Protocol
from libp2p.relay.circuit_v2.transport import CircuitV2Transport
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

ECHO = TProtocol("/echo/1.0.0")
PATIENCE = 10


def emit(value: dict[str, Any]) -> None:
    """Print one event or reply."""
    print(json.dumps(value), flush=True)


class Peer:
    """One host with the circuit transport, and what it can be asked to do."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.host = new_host(enable_tcp=True, enable_websocket=True)
        self.protocol = CircuitV2Protocol(self.host, allow_hop=False)
        # Without the role CLIENT, with which the transport would reserve before every dial: that is a command here.
        self.circuits = CircuitV2Transport(self.host, self.protocol, RelayConfig(roles=RelayRole.STOP))
        self.host.set_stream_handler(PING, handle_ping)
        self.host.set_stream_handler(ECHO, echo_all)

    async def reserve(self, address: str) -> dict[str, Any]:
        relay = info_from_p2p_addr(Multiaddr(address))
        await self.host.connect(relay)
        stream = await self.host.new_stream(relay.peer_id, [PROTOCOL_ID])
        reserved = await self.circuits.reserve(stream, relay.peer_id, self.nursery)
        await stream.close()
        if not reserved:
            raise RuntimeError("no reservation")
        proof = self.circuits._reservation_proofs[relay.peer_id]
        return {"expires": proof.expire, "voucher": bool(proof.voucher)}

    async def connect(self, address: str) -> dict[str, Any]:
        await self.circuits.dial(Multiaddr(address))
        peer = info_from_p2p_addr(Multiaddr(address)).peer_id
        return await self.ping(str(peer))

    async def ping(self, peer: str) -> dict[str, Any]:
        stream = await self.host.new_stream(ID.from_string(peer), [PING])
        rtt = await perform_ping_roundtrip(stream)
        await stream.close()
        return {"rtt": rtt}

    async def echo(self, peer: str, size: int) -> dict[str, Any]:
        """Send `size` bytes to the peer's echo and compare what comes back."""
        sent = bytes(i * 31 >> 3 & 255 for i in range(size))
        stream = await self.host.new_stream(ID.from_string(peer), [ECHO])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write, sent)
            back = await read_exactly(stream, size)
        await stream.close()
        return {"received": len(back), "same": back == sent}


async def echo_all(stream: Any) -> None:
    try:
        while data := await stream.read(65536):
            await stream.write(data)
        await stream.close()
    except StreamEOF:
        # How a half-close of the other side is told.
        await stream.close()
    except Exception:
        await stream.reset()


async def answer(peer: Peer, command: dict[str, Any]) -> None:
    number, name = command.pop("id"), command.pop("cmd")
    try:
        with trio.fail_after(PATIENCE):
            reply = await getattr(peer, name)(**command)
    except Exception as error:
        traceback.print_exc()
        emit({"id": number, "ok": False, "name": type(error).__name__, "error": str(error)})
    else:
        emit({"id": number, "ok": True, **reply})


async def main() -> None:
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        peer = Peer(nursery)
        await stack.enter_async_context(peer.host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]))
        await stack.enter_async_context(background_trio_service(peer.protocol))
        emit({"event": "ready", "peer": str(peer.host.get_id())})
        async for line in trio.wrap_file(sys.stdin):
            nursery.start_soon(answer, peer, json.loads(line))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    trio.run(main)
