"""What went wrong elsewhere, and the tests that show that it does not here.

Every row is a published advisory or a known fault of a program of this kind. The tests in this file are for what the
files about the module do not try themselves.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from p2pchat_core import limits
from p2pchat_core.errors import IdentityError, P2PChatError, RemoteProtocolError
from p2pchat_core.identity.envelope import open_peer_record, open_voucher
from p2pchat_core.identity.keys import PublicKey
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import encode_uvarint, length_prefixed
from p2pchat_core.net.identify import IdentifyService
from p2pchat_core.pb import keys_pb2
from p2pchat_core.wire.candidate import CandidatePolicy
from p2pchat_core.wire.circuit import HopClient, HopServerExchange, Status, StopServer
from p2pchat_core.wire.identify import Identify, IdentifyReader
from p2pchat_core.wire.noise_payload import decode_payload
from p2pchat_tui.addresses import reach
from tests.conformance.named import named_tests
from tests.relay_server.test_server import client, relay, reserve, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.net.connection import Connection

ADVISORIES: Final = {
    "streams opened without end (CVE-2022-23492, CVE-2022-23486, CVE-2022-23487)": (
        "open_inbound_streams_are_bounded streams_nobody_accepts_are_refused_beyond_the_backlog "
        "few_streams_until_the_peer_has_said_something connections_per_peer_and_in_all_are_limited"
    ),
    "buffers for what is only announced (GHSA-jvgw-gccv-q5p8)": (
        "announcing_much_and_sending_little_costs_little unread_bytes_of_a_connection_are_bounded "
        "announced_payload_counts_before_it_comes"
    ),
    "a SYN with more payload than the first window (CVE-2026-32314)": "syn_with_more_than_the_first_window_is_refused",
    "a window made larger than 32 bits (CVE-2026-31814)": "send_window_must_fit_32_bits",
    "an RSA key that takes long to verify with (CVE-2023-39533)": (
        "size_of_rsa_keys exponent_of_rsa_keys a_huge_rsa_key_is_refused_before_it_is_used"
    ),
    "peer records kept for ever (CVE-2023-40583)": (
        "ten_thousand_identities_leave_nothing what_is_known_ends_with_the_last_connection more_than_we_keep"
    ),
    "a table of a server that grows with every request (CVE-2026-35405)": (
        "reserving_and_leaving_a_hundred_thousand_times_leaves_nothing whatever_comes_and_goes_leaves_nothing"
    ),
    "a message of nothing but empty entries (CVE-2026-46679)": (
        "two_million_empty_entries_are_refused_unread as_many_empty_entries_as_fit what_has_no_prefix_has_a_limit_too "
        "a_handshake_full_of_empty_entries_is_refused oversized_envelopes_are_refused_unread"
    ),
    "arithmetic with a remote clock (CVE-2026-33040, CVE-2026-34219)": (
        "absurd_numbers_are_clamped extreme_values_survive"
    ),
    "IPv4 in IPv6 around a rule (CVE-2020-26262, CVE-2026-27624)": (
        "no_way_of_writing_an_address_gets_around_a_refusal every_way_to_write_an_ipv4_address_is_one_source "
        "connections_per_ip_whatever_it_is_written_as what_a_tunnel_claims_earns_no_permission "
        "no_spelling_of_a_forbidden_address_gets_packets a_mapped_address_is_shown_for_what_it_is"
    ),
    "a ClientHello or an empty datagram of a stranger at the ICE port": (
        "hostile_datagrams_change_nothing only_known_far_ends_reach_dtls"
    ),
    "a receive window that is announced and not kept": (
        "the_window_closes_and_opens_with_reading more_than_the_window_is_refused "
        "a_message_that_never_ends_is_cut_off"
    ),
    "a channel that gives up retransmitting stops the association": (
        "unreliable_and_unordered_channels_are_closed only_type_zero_is_reliable_and_ordered forward_tsn_is_not_spoken"
    ),
    "reservations used up by one client that restarts": (
        "a_client_that_is_killed_a_hundred_times_has_its_place renewing_takes_no_second_slot nothing_stays_behind"
    ),
    "nesting without end in protobuf's pure Python parser": "without_its_compiled_part_protobuf_is_not_used",
    "base58 takes quadratic time": "length_is_refused_before_the_quadratic_work",
    "a decompression bomb (CVE-2018-1000518, CVE-2026-1526)": "no_compression_in_either_direction",
}


@pytest.mark.parametrize("advisory", ADVISORIES)
def test_every_advisory_has_its_tests(advisory: str) -> None:
    assert {f"test_{name}" for name in ADVISORIES[advisory].split()} <= named_tests()


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_huge_rsa_key_is_refused_before_it_is_used() -> None:
    numbers = rsa.RSAPublicNumbers(65537, (1 << 16383) + 1)
    encoded = numbers.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    message = keys_pb2.PublicKey(Type=keys_pb2.RSA, Data=encoded).SerializeToString()
    assert len(message) < limits.PROTOBUF_MAX_MESSAGE, "it would fit into a handshake"
    with pytest.raises(IdentityError, match="16384 bits is not accepted"):
        PublicKey.from_protobuf(message)


# --- protobuf -------------------------------------------------------------------------------------------------------

_ENTRIES: Final = b"\x12\x00" * 2_000_000
"""Two million empty strings in field 2, which several messages have as a list."""


@pytest.mark.parametrize(
    "make",
    [
        lambda: HopServerExchange().receive_data,
        lambda: HopClient.reserve().receive_data,
        lambda: StopServer().receive_data,
        lambda: IdentifyReader().receive_data,
    ],
)
def test_two_million_empty_entries_are_refused_unread(make: Callable[[], Callable[[bytes], object]]) -> None:
    receive = make()
    with pytest.raises(RemoteProtocolError):
        receive(encode_uvarint(len(_ENTRIES)))


@pytest.mark.parametrize("read", [open_peer_record, open_voucher, PublicKey.from_protobuf])
def test_what_has_no_prefix_has_a_limit_too(read: Callable[[bytes], object]) -> None:
    with pytest.raises(P2PChatError, match=r"at most|too large"):
        read(_ENTRIES)


def test_a_handshake_full_of_empty_entries_is_refused() -> None:
    """As many as a Noise message holds, in the extensions of the payload."""
    entries = b"\x12\x00" * (limits.NOISE_MAX_PLAINTEXT // 2 - 8)
    with pytest.raises(P2PChatError):
        decode_payload(b"\x22" + encode_uvarint(len(entries)) + entries, bytes(32))


def test_as_many_empty_entries_as_fit() -> None:
    """What is small enough to be parsed is cut down to what we keep."""
    for field in (b"\x12\x00", b"\x1a\x00"):  # addresses and protocols
        reader = IdentifyReader()
        part = field * (limits.IDENTIFY_MAX_MESSAGE // 2)
        for _ in range(limits.IDENTIFY_MAX_PARTS):
            reader.receive_data(length_prefixed(part))
        identify = reader.receive_eof()
        assert len(identify.listen_addresses) <= limits.IDENTIFY_MAX_ADDRESSES
        assert len(identify.protocols) <= limits.IDENTIFY_MAX_PROTOCOLS


def test_without_its_compiled_part_protobuf_is_not_used(tmp_path: Path) -> None:
    for command in ("p2pchat_tui.cli --plain", "p2pchat_tui.cli key show", "p2pchat_relay.cli run"):
        module, *arguments = command.split()
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-W",
                    "ignore",
                    "-c",
                    f"import sys\nfrom {module} import main\nsys.exit(main())",
                ),
                *(*arguments, "--data-dir", str(tmp_path)),
            ],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert "protobuf package runs here without its compiled part" in done.stderr
        assert "Traceback" not in done.stderr


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forbidden", ["127.0.0.1", "169.254.169.254", "224.0.0.251", "255.255.255.255", "0.0.0.0"]
)
@pytest.mark.parametrize(
    "spelling",
    ["{}", "::ffff:{}", "0:0:0:0:0:ffff:{}", "::ffff:{}%lo", "64:ff9b::{}", "2002:{hex}::1", "::{}"],
)
def test_no_spelling_of_a_forbidden_address_gets_packets(spelling: str, forbidden: str) -> None:
    a, b, c, d = map(int, forbidden.split("."))
    host = spelling.format(forbidden, hex=f"{a:02x}{b:02x}:{c:02x}{d:02x}")
    assert CandidatePolicy().refusal(host, 5000) is not None
    public = spelling.format("198.51.100.7", hex="c633:6407")
    assert CandidatePolicy().refusal(public, 5000) is None


def test_a_private_address_in_a_tunnel_is_private() -> None:
    policy = CandidatePolicy(private=False)
    for host in ("10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1"):
        assert policy.refusal(host, 5000) is not None
        assert CandidatePolicy().refusal(host, 5000) is None


def test_a_mapped_address_is_shown_for_what_it_is() -> None:
    assert reach("/ip6/::ffff:127.0.0.1/tcp/1/ws") == "this computer"
    assert reach("/ip6/::ffff:192.168.1.1/tcp/1/ws") == "this network"
    assert reach("/ip6/::ffff:198.51.100.7/tcp/1/ws") == reach("/ip4/198.51.100.7/tcp/1/ws")


# --- what stays behind ------------------------------------------------------------------------------------------------


class _Host:
    """As much of a host as identify needs; one peer at a time is connected."""

    def __init__(self) -> None:
        self.on_connection: list[Any] = []
        self.on_disconnect: list[Any] = []
        self.connected: object = None

    def handle(self, *_args: object, **_options: object) -> None:
        pass

    def spawn(self, work: Any, _name: str) -> None:
        work.close()  # asking the peer is not what this is about

    def connections(self, peer: object) -> list[object]:
        return [self] if peer == self.connected else []


def test_ten_thousand_identities_leave_nothing() -> None:
    host = _Host()
    service = IdentifyService(cast("Any", host), "test", list)
    addresses = tuple(
        Multiaddr.parse(f"/ip4/198.51.100.{n}/tcp/1") for n in range(limits.IDENTIFY_MAX_ADDRESSES)
    )
    said = Identify(listen_addresses=addresses)
    for number in range(10_000):
        connection = _Peer(number)
        host.connected = connection.peer
        for callback in host.on_connection:
            callback(connection)
        service._learn(cast("Any", connection.peer), said, replace=False)
        assert service.info(cast("Any", connection.peer)) is not None
        host.connected = None
        for callback in host.on_disconnect:
            callback(connection, "gone")
        service._learn(cast("Any", connection.peer), said, replace=False)  # a push that comes too late
        assert len(service._known) == len(service._pending) == 0


class _Peer:
    """A connection to somebody."""

    def __init__(self, number: int) -> None:
        self.peer = _Id(f"peer {number}")


class _Id(str):
    """A name in place of a peer id."""

    def short(self) -> str:
        return self


async def test_a_client_that_is_killed_a_hundred_times_has_its_place(tmp_path: Path) -> None:
    """Back before the relay has noticed the end of the one before, which comes without a word."""
    async with relay(tmp_path, max_reservations=1) as server, AsyncExitStack() as stack:
        before: Connection | None = None
        for _ in range(100):
            _, connection = await stack.enter_async_context(client(1, server))
            assert (await reserve(connection)).status is Status.OK
            assert server.policy.reservations == 1
            if before is not None:
                before.abort("killed")
            before = connection
        await until(lambda: server.policy.admission.connections == 1)
        assert server.policy.reservations == 1, "it is not given up with the last of the old connections"
        async with client(2, server) as (_, other):
            assert (await reserve(other)).status is Status.RESERVATION_REFUSED
        assert before is not None
        before.abort("killed")
        await until(lambda: server.policy.reservations == 0)
