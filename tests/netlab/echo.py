"""Measures a path with UDP: ``echo.py serve ADDRESS`` and ``echo.py ask ADDRESS COUNT SIZE``; standard library only.

The latter prints the round trips in milliseconds of everything that came back, in order of arrival.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Final

_PORT: Final = 7777
_INTERVAL: Final = 0.002
_PATIENCE: Final = 0.5
_HEADER: Final = 8


def serve(address: str) -> None:
    """Answer until killed."""
    sock = _socket()
    sock.bind((address, _PORT))
    print("ready", flush=True)
    while True:
        data, source = sock.recvfrom(65535)
        sock.sendto(data, source)


def ask(address: str, count: int, size: int) -> list[float]:
    """Send `count` datagrams of `size` bytes, a few hundred a second, and wait a little for the last."""
    sock = _socket()
    sent: dict[int, float] = {}
    trips: list[float] = []
    end = time.monotonic() + count * _INTERVAL + _PATIENCE
    while (now := time.monotonic()) < end:
        if len(sent) < count:
            sent[len(sent)] = now
            try:
                sock.sendto((len(sent) - 1).to_bytes(_HEADER, "big").ljust(size, b"."), (address, _PORT))
            except OSError:  # the interface is down
                continue
        sock.settimeout(_INTERVAL if len(sent) < count else max(0.001, end - now))
        try:
            number = int.from_bytes(sock.recv(65535)[:_HEADER], "big")
        except TimeoutError:
            continue
        trips.append((time.monotonic() - sent[number]) * 1000)
    return trips


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # Never cut a datagram in pieces: what is too large is to be seen as lost.
    sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_MTU_DISCOVER", 10), 2)
    return sock


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        print(json.dumps(ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
