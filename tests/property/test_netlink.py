from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.wire.netlink import NetworkState
from tests.support.netlink import address, link, message, route

_VALID = st.sampled_from([link(1), address("192.0.2.1"), address("2001:db8::1"), route("192.0.2.254")])
_BODY = st.builds(message, st.integers(16, 26), st.binary(max_size=64))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=80), _VALID, _BODY), max_size=8))
def test_any_bytes_are_read_without_an_error(datagrams: list[bytes]) -> None:
    state = NetworkState()
    for datagram in datagrams:
        state.receive(datagram)
        before = dict(state._facts)
        state.receive(datagram)
        state.receive(b"".join(datagrams))
        assert len(before) <= 8 * len(datagrams)


@settings(max_examples=100, deadline=None)
@given(_VALID, st.data())
def test_any_damage_is_read_without_an_error(valid: bytes, data: st.DataObject) -> None:
    changed = bytearray(valid)
    for _ in range(data.draw(st.integers(0, 4))):
        changed[data.draw(st.integers(0, len(valid) - 1))] = data.draw(st.integers(0, 255))
    NetworkState().receive(bytes(changed[: data.draw(st.integers(0, len(valid)))]))
