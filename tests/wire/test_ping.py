"""Ping: the echo in any pieces, and ends on both sides."""

from __future__ import annotations

import pytest

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.limits import PING_SIZE, READ_CHUNK
from p2pchat_core.wire.ping import PingClient, PingServer

PAYLOAD = bytes(range(PING_SIZE))


@pytest.mark.parametrize("chunk", [1, 5, 31, 32])
def test_ping(chunk: int) -> None:
    client, server = PingClient(PAYLOAD), PingServer()
    request = client.take_output()
    assert request == PAYLOAD
    assert client.take_output() == b""
    for start in range(0, PING_SIZE, chunk):
        assert not client.done
        server.receive_data(request[start : start + chunk])
        client.receive_data(server.take_output())
    assert client.done
    assert not server.ended
    server.receive_eof()
    assert server.ended
    assert server.take_output() == b""
    client.receive_eof()


def test_echo_is_not_lost_when_the_end_comes_with_it() -> None:
    server = PingServer()
    server.receive_data(b"ab")
    server.receive_data(b"c")
    server.receive_eof()
    assert server.take_output() == b"abc"


@pytest.mark.parametrize(
    "echo", [b"\xff", PAYLOAD[:31] + b"\xff", PAYLOAD + b"\x00", PAYLOAD + PAYLOAD], ids=len
)
def test_wrong_echo(echo: bytes) -> None:
    client = PingClient(PAYLOAD)
    with pytest.raises(RemoteProtocolError):
        client.receive_data(echo)
    assert not client.done


def test_surplus_after_the_echo() -> None:
    client = PingClient(PAYLOAD)
    client.receive_data(PAYLOAD)
    with pytest.raises(RemoteProtocolError):
        client.receive_data(b"\x00")


def test_early_end() -> None:
    client = PingClient(PAYLOAD)
    client.receive_data(PAYLOAD[:7])
    with pytest.raises(RemoteProtocolError, match="7 of 32"):
        client.receive_eof()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_payload_size(size: int) -> None:
    with pytest.raises(LocalProtocolError):
        PingClient(bytes(size))


def test_server_holds_a_bounded_amount() -> None:
    server = PingServer()
    server.receive_data(bytes(READ_CHUNK))
    with pytest.raises(LocalProtocolError):
        server.receive_data(b"\x00")
    server.take_output()
    server.receive_data(b"\x00")
    server.receive_eof()
    with pytest.raises(LocalProtocolError):
        server.receive_data(b"\x00")
