"""Candidate lines in every dialect, and what is refused."""

from __future__ import annotations

import json

import pytest

from p2pchat_core.wire.ice_candidate import (
    BadCandidateError,
    IceCandidate,
    normalise_candidate,
    parse_candidate_json,
)

HOST = "candidate:1 1 udp 2113937151 192.0.2.2 48342 typ host"


def _line(
    *,
    foundation: str = "1",
    component: str = "1",
    transport: str = "udp",
    priority: str = "5",
    host: str = "192.0.2.2",
    port: str = "5000",
    kind: str = "host",
) -> str:
    return f"candidate:{foundation} {component} {transport} {priority} {host} {port} typ {kind}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (HOST, HOST),
        (f"a={HOST}", HOST),
        (HOST.removeprefix("candidate:"), HOST),
        (HOST.replace("udp", "UDP"), HOST),
        (f"{HOST} generation 0 ufrag x network-cost 999", HOST),
        (f"{HOST} generation", HOST),
        (f"  a={HOST}\r\n", HOST),
        (_line(host="2001:db8::1"), _line(host="2001:db8::1")),
        (
            _line(kind="srflx") + " raddr 10.0.0.1 rport 4000 generation 0",
            _line(kind="srflx") + " raddr 10.0.0.1 rport 4000",
        ),
        (_line(kind="srflx") + " raddr 0.0.0.0 rport 0", _line(kind="srflx") + " raddr 0.0.0.0 rport 0"),
        (_line(kind="relay") + " raddr evil.example rport 4000", _line(kind="relay")),
        (_line(kind="relay") + " raddr 10.0.0.1 rport 70000", _line(kind="relay")),
        (_line(foundation="a1+/"), _line(foundation="a1+/")),
        (_line(kind="prflx"), _line(kind="prflx")),
        (_line(kind="relay") + " raddr 10.0.0.1", _line(kind="relay")),
        (_line(kind="relay") + " rport 4000", _line(kind="relay")),
        (_line(priority=str(2**32 - 1), port="65535"), _line(priority=str(2**32 - 1), port="65535")),
        (_line(priority="1", port="1"), _line(priority="1", port="1")),
    ],
)
def test_normalised(line: str, expected: str) -> None:
    parsed = normalise_candidate(line)
    assert parsed.text == expected
    assert parsed.mdns is False
    assert normalise_candidate(parsed.text) == parsed


def test_mdns_name() -> None:
    line = _line(host="cb2c2a6c-1d0b-4c8f-9d3a-0f1d4a3f6b1e.local")
    parsed = normalise_candidate(line)
    assert parsed.mdns
    assert parsed.text == line


@pytest.mark.parametrize(
    "line",
    [
        "",
        "candidate:",
        "nonsense",
        HOST.replace("typ host", ""),
        HOST.replace("typ", "type"),
        HOST.replace("192.0.2.2 48342", "192.0.2.2  48342"),
        _line(foundation="x" * 33),
        _line(foundation="é"),
        _line(component="2"),
        _line(component="٣"),
        _line(transport="tcp"),
        _line(transport="TCP") + " tcptype active",
        _line(priority="0"),
        _line(priority="-1"),
        _line(priority=str(2**32)),
        _line(priority="٣"),
        _line(priority="9" * 5000),
        _line(port="0"),
        _line(port="65536"),
        _line(port="5e3"),
        _line(host="relay.example"),
        _line(host="evil.local.example"),
        _line(host="a.b.local"),
        _line(host=".local"),
        _line(host="192.0.2"),
        _line(host="010.0.0.1"),
        _line(host="fe80::1%eth0"),
        _line(kind="magic"),
    ],
)
def test_refused(line: str) -> None:
    with pytest.raises(BadCandidateError):
        normalise_candidate(line)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "[" * 16_000,
        "1" * 5000,
        "NaN",
        "true",
        "[]",
        '"text"',
        '{"candidate":1}',
        '{"candidate":["candidate:1"]}',
        '{"candidate":"\\ud800"}',
    ],
    ids=lambda data: data[:20],
)
def test_json_that_is_no_candidate(data: str) -> None:
    with pytest.raises(BadCandidateError) as caught:
        parse_candidate_json(data)
    assert str(caught.value).isascii()


@pytest.mark.parametrize("data", ["null", '""', "{}", '{"candidate":""}', '{"candidate":null}', b"null"])
def test_end_of_candidates(data: str | bytes) -> None:
    assert parse_candidate_json(data) is None


@pytest.mark.parametrize(
    "extra", [{}, {"sdpMid": "0", "sdpMLineIndex": None}, {"usernameFragment": 5, "x": []}]
)
def test_other_fields_do_not_matter(extra: dict[str, object]) -> None:
    parsed = parse_candidate_json(json.dumps({"candidate": HOST, **extra}))
    assert parsed is not None
    assert parsed.text == HOST


@pytest.mark.parametrize("text", [HOST, f"a={HOST}"])
def test_our_own(text: str) -> None:
    assert IceCandidate(text, "abcd").to_json() == (
        f'{{"candidate":"{HOST}","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}}'
    )
    assert json.loads(IceCandidate(text).to_json())["usernameFragment"] is None
