"""Whom a proxy speaks for: what is believed, what is refused, and that limits then count the client."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from p2pchat_core.errors import ConfigError, RemoteProtocolError
from p2pchat_core.wire.ip import parse_ip
from p2pchat_relay.config import AccessConfig, AccessRule, RelayConfig
from p2pchat_relay.forwarded import TrustedProxies, parse_proxies
from p2pchat_relay.limits import FORWARDED_MAX_BYTES, FORWARDED_MAX_HOPS, RelayLimits
from p2pchat_relay.observer import NullObserver
from p2pchat_relay.server import RelayServer
from tests.relay_server.test_server import LOOPBACK, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PROXY = "127.0.0.1"
XFF, FORWARDED = "X-Forwarded-For", "Forwarded"
proxies = TrustedProxies(parse_proxies(["127.0.0.1", "10.0.0.0/8", "2001:db8:aa::/48"]))


def test_which_connections_are_a_proxys() -> None:
    assert proxies.expects("127.0.0.1")
    assert proxies.expects("10.1.2.3")
    assert proxies.expects("::ffff:10.1.2.3")
    assert proxies.expects("2001:db8:aa::1")
    assert not proxies.expects("127.0.0.2")
    assert not proxies.expects("")
    assert not TrustedProxies().expects("127.0.0.1")


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ([(XFF, "203.0.113.7")], "203.0.113.7"),
        ([("x-forwarded-for", " 203.0.113.7 ")], "203.0.113.7"),
        ([(XFF, "198.51.100.1, 203.0.113.7")], "203.0.113.7"),
        ([(XFF, "garbage, 127.0.0.1, 203.0.113.7")], "203.0.113.7"),
        ([(XFF, "198.51.100.1, 203.0.113.7, 10.0.0.1")], "203.0.113.7"),
        ([(XFF, "198.51.100.1"), (XFF, "203.0.113.7")], "203.0.113.7"),
        ([(XFF, "10.0.0.2, 10.0.0.1")], "10.0.0.2"),
        ([(XFF, "203.0.113.7:4711")], "203.0.113.7"),
        ([(XFF, "::ffff:203.0.113.7")], "203.0.113.7"),
        ([(XFF, "2001:DB8::7")], "2001:db8::7"),
        ([(XFF, "[2001:db8::7]:4711")], "2001:db8::7"),
        ([(FORWARDED, "for=203.0.113.7")], "203.0.113.7"),
        ([(FORWARDED, 'For="[2001:db8::7]:4711";proto=https;by=_x')], "2001:db8::7"),
        ([(FORWARDED, "for=_hidden, proto=https; for=203.0.113.7, for=10.0.0.1")], "203.0.113.7"),
        ([(FORWARDED, "for=203.0.113.7"), (XFF, "1.2.3.4, 203.0.113.7")], "203.0.113.7"),
    ],
)
def test_the_right_most_stranger_is_the_client(headers: list[tuple[str, str]], client: str) -> None:
    assert proxies.client(PROXY, headers) == client


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Real-IP", "203.0.113.7")],
        [(XFF, "")],
        [(XFF, " , ")],
        [(XFF, "unknown")],
        [(XFF, "unix:")],
        [(XFF, "203.0.113.7, ")],
        [(XFF, "203.0.113.7, relay.example")],
        [(XFF, "203.0.113.7, 203.0.113")],
        [(XFF, "203.0.113.7:")],
        [(XFF, "[203.0.113.7")],
        [(XFF, "203.0.113.7/8")],
        [(XFF, "1" * 5000)],
        [(XFF, ", ".join(["10.0.0.1"] * (FORWARDED_MAX_HOPS + 1)))],
        [(XFF, "203.0.113.7".rjust(FORWARDED_MAX_BYTES + 1))],
        [(FORWARDED, "for=unknown")],
        [(FORWARDED, "for=_secret")],
        [(FORWARDED, "proto=https")],
        [(FORWARDED, "for=203.0.113.7;for=203.0.113.8")],
        [(FORWARDED, "203.0.113.7")],
        [(FORWARDED, "for=203.0.113.7"), (XFF, "203.0.113.8")],
    ],
)
def test_what_cannot_be_believed_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(RemoteProtocolError):
        proxies.client(PROXY, headers)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([XFF, FORWARDED]), st.text(max_size=60)), max_size=4))
def test_any_header_gives_an_address_or_a_refusal(headers: list[tuple[str, str]]) -> None:
    try:
        client = proxies.client(PROXY, headers)
    except RemoteProtocolError:
        return
    assert parse_ip(client) is not None


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='0123456789abcdef.:, []"=;for', max_size=80))
def test_what_a_client_writes_does_not_count(claim: str) -> None:
    """Whatever it sends, the proxy's own entry comes after it."""
    try:
        assert proxies.client(PROXY, [(XFF, f"{claim}, 203.0.113.7")]) == "203.0.113.7"
    except RemoteProtocolError as error:
        assert "more than" in str(error)


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match="host bits"):
        parse_proxies(["10.0.0.1/8"])


# --- through a listener --------------------------------------------------------------------------------------------


class Failures(NullObserver):
    def __init__(self) -> None:
        self.words: list[str] = []

    def handshake_failed(self, reason: str) -> None:
        self.words.append(reason)

    def connection_refused(self, reason: str) -> None:
        self.words.append(reason)


@asynccontextmanager
async def behind_a_proxy(tmp_path: Path, **options: Any) -> AsyncIterator[tuple[RelayServer, Failures]]:
    options = {"trusted_proxies": ("127.0.0.1",), "listen": (LOOPBACK, "/ip4/127.0.0.1/tcp/0")} | options
    failures = Failures()
    server = await RelayServer.start(RelayConfig(data_dir=tmp_path, **options), observer=failures)
    try:
        yield server, failures
    finally:
        await server.stop()
    assert server.policy.admission.connections == server.policy.admission.table_size == 0


def through(server: RelayServer, client: str | None) -> connect:
    headers = {} if client is None else {XFF: client}
    port = server.addresses[0].value("tcp")
    return connect(f"ws://127.0.0.1:{port}/", proxy=None, compression=None, additional_headers=headers)


async def status_of(server: RelayServer, client: str | None) -> int:
    try:
        async with through(server, client):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


async def test_limits_count_the_client_and_not_the_proxy(tmp_path: Path) -> None:
    async with behind_a_proxy(tmp_path, limits=RelayLimits(max_connections_per_ip=2)) as (server, failures):
        admission = server.policy.admission
        async with through(server, "203.0.113.1"), through(server, "203.0.113.1"):
            assert await status_of(server, "203.0.113.1") == 429
            assert await status_of(server, "203.0.113.9, 203.0.113.1") == 429
            assert failures.words == ["per_ip", "per_ip"]
            async with through(server, "203.0.113.2"):
                assert admission.connections == 3
        await until(lambda: admission.connections == admission.table_size == 0)


async def test_a_client_that_has_no_access_is_refused(tmp_path: Path) -> None:
    rule = AccessRule(mode="deny", networks=("203.0.113.0/24",))
    access = AccessConfig(reserve=rule, connect=rule)
    async with behind_a_proxy(tmp_path, access=access) as (server, failures):
        assert await status_of(server, "203.0.113.1") == 429
        assert await status_of(server, "198.51.100.1") == 101
        assert failures.words[0] == "access"


async def test_a_proxy_that_names_nobody_is_refused(tmp_path: Path) -> None:
    async with behind_a_proxy(tmp_path) as (server, failures):
        assert await status_of(server, None) == 400
        assert await status_of(server, "somebody") == 400
        assert failures.words == ["forwarded", "forwarded"]


async def test_without_trust_the_header_says_nothing(tmp_path: Path) -> None:
    limits = RelayLimits(max_connections_per_ip=1)
    async with (
        behind_a_proxy(tmp_path, trusted_proxies=("10.0.0.0/8",), limits=limits) as (server, _),
        through(server, "203.0.113.1"),
        through(server, "203.0.113.1"),
    ):
        assert server.policy.admission.table_size == 0, "it is this machine, which is exempt"


async def test_a_reload_changes_who_is_believed_and_loses_no_count(tmp_path: Path) -> None:
    async with behind_a_proxy(tmp_path) as (server, _):
        _, writer = await asyncio.open_connection("127.0.0.1", int(server.addresses[0].value("tcp") or 0))
        admission = server.policy.admission
        await until(lambda: admission.connections == 1)
        async with through(server, "203.0.113.1"):
            config = RelayConfig(data_dir=tmp_path, listen=(LOOPBACK, "/ip4/127.0.0.1/tcp/0"))
            assert server.apply(config) == []
            assert await status_of(server, None) == 101
            # The one that came before is asked nothing any more than it was when it came.
            request = f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nX: {base64.b64encode(b'x').decode()}\r\n\r\n"
            writer.write(request.encode())
            writer.transport.abort()
        await until(lambda: admission.connections == 0)


async def test_plain_tcp_has_no_header_and_counts_as_it_comes(tmp_path: Path) -> None:
    async with behind_a_proxy(tmp_path) as (server, _):
        _, writer = await asyncio.open_connection("127.0.0.1", int(server.addresses[-1].value("tcp") or 0))
        await until(lambda: server._host.handshakes == 1)
        writer.transport.abort()
