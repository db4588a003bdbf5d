"""Finds out by experiment what kind of NAT is in front of us (RFC 4787), with a protocol of its own.

``probe.py serve A1 A2`` answers on UDP ports `PORTS` of two public addresses: a datagram ``AI PI`` is answered with the
address it seemed to come from, from socket ``PI`` (0 or 1) of address ``AI``. ``probe.py ask A1 A2`` prints one
JSON line: ``mapping``, ``filtering`` and ``inside``. Standard library only.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
from typing import Final

__all__ = ["PORTS"]

PORTS: Final = (7000, 7001)
_WAIT: Final = 0.12
_TRIES: Final = 2


def serve(addresses: list[str]) -> None:
    """Answer until killed."""
    selector = selectors.DefaultSelector()
    sockets = {(a, p): _bound(addresses[a], PORTS[p]) for a in (0, 1) for p in (0, 1)}
    for sock in sockets.values():
        selector.register(sock, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            data, source = key.fileobj.recvfrom(100)  # type: ignore[union-attr]
            a, p = map(int, data.split())
            sockets[a, p].sendto(f"{source[0]}:{source[1]}".encode(), source)


def ask(addresses: list[str]) -> dict[str, str]:
    """Run the experiments."""
    sock = _bound("0.0.0.0", 0)
    first = _exchange(sock, addresses[0], PORTS[0], (0, 0))
    if first is None:
        return {"mapping": "blocked", "filtering": "blocked"}
    # Nothing has been sent to the second address yet, nor to the second port.
    if _exchange(sock, addresses[0], PORTS[0], (1, 1)) is not None:
        filtering = "endpoint-independent"
    elif _exchange(sock, addresses[0], PORTS[0], (0, 1)) is not None:
        filtering = "address-dependent"
    else:
        filtering = "address- and port-dependent"
    port = _exchange(sock, addresses[0], PORTS[1], (0, 1))
    address = _exchange(sock, addresses[1], PORTS[0], (1, 0))
    if first == port == address:
        mapping = "endpoint-independent"
    else:
        mapping = "address-dependent" if first == port else "address- and port-dependent"
    return {"mapping": mapping, "filtering": filtering, "outside": first}


def _exchange(sock: socket.socket, address: str, port: int, answer_from: tuple[int, int]) -> str | None:
    """Ask one socket of the server for an answer from another (or the same) of its sockets."""
    for _ in range(_TRIES):
        sock.sendto(f"{answer_from[0]} {answer_from[1]}".encode(), (address, port))
        sock.settimeout(_WAIT)
        try:
            return sock.recv(100).decode()
        except TimeoutError:
            continue
    return None


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    return sock


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2:])
    else:
        print(json.dumps(ask(sys.argv[2:])))
