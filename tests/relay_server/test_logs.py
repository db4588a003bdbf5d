from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from p2pchat_relay.logs import JsonFormatter, PeerIds, PlainFormatter, configure_logging, with_peer_ids
from tests.relay_server.fakes import key

if TYPE_CHECKING:
    from collections.abc import Iterator

PEER = key(1).peer_id


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, raising = logging.getLogger(), logging.raiseExceptions
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)


def record(text: str, *args: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("p2pchat_relay.x", logging.INFO, "x.py", 1, text, args, None)
    made.created = 1_800_000_000.25
    vars(made).update(extra)
    return made


@pytest.mark.parametrize(
    ("peer_ids", "shown"),
    [
        ("full", f"{PEER} and {PEER.short()}"),
        ("short", f"{PEER.short()} and {PEER.short()}"),
        ("none", "(peer) and (peer)"),
    ],
)
def test_peer_ids(peer_ids: PeerIds, shown: str) -> None:
    text = f"circuit from {PEER} and {PEER.short()}"
    assert with_peer_ids(text, peer_ids) == f"circuit from {shown}"
    assert (
        PlainFormatter(peer_ids).format(record("circuit from %s and %s", PEER, PEER.short())).endswith(shown)
    )
    assert (
        json.loads(JsonFormatter(peer_ids).format(record("%s and %s", PEER, PEER.short())))["message"]
        == shown
    )


@pytest.mark.parametrize(
    "text",
    [
        str(PEER),
        PEER.to_cid(),
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "16Uiu2HAmKeS26YtLHCGmaTtsfFrkUyJbCSMiDPHUaPbeVb2SpmrP",
        f"/ip4/192.0.2.1/tcp/9001/ws/p2p/{PEER}/p2p-circuit",
    ],
)
def test_every_form_of_a_peer_id_is_found(text: str) -> None:
    hidden = with_peer_ids(text, "none")
    assert "(peer)" in hidden
    assert not any(part in hidden for part in (str(PEER), "Qm", "16Uiu", "bafz"))
    assert len(with_peer_ids(text, "short")) < len(text)


@pytest.mark.parametrize(
    "text", ["listening at 127.0.0.1 port 9001", "Quite an ordinary sentence…ending", ""]
)
def test_nothing_else_is_touched(text: str) -> None:
    assert with_peer_ids(text, "none") == text


def test_json_lines_have_fixed_names_and_carry_extras() -> None:
    line = JsonFormatter().format(
        record("refused\n%s", "x", status="RESOURCE_LIMIT_EXCEEDED", bytes=5, peer=PEER)
    )
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2027-01-15T08:00:00.250Z",
        "level": "info",
        "logger": "p2pchat_relay.x",
        "message": "refused\nx",
        "status": "RESOURCE_LIMIT_EXCEEDED",
        "bytes": 5,
        "peer": PEER.short(),
    }


def test_an_exception_stays_on_its_json_line() -> None:
    try:
        raise ValueError(f"about {PEER}")
    except ValueError as error:
        failed = record("failed")
        failed.exc_info = (type(error), error, error.__traceback__)
    line = JsonFormatter("none").format(failed)
    assert "\n" not in line
    assert "ValueError: about (peer)" in json.loads(line)["error"]


def test_a_plain_line_is_one_line() -> None:
    line = PlainFormatter().format(record("agent %s", "x\r\n2027 forged \x1b[2J\x9b"))
    assert line.endswith("agent x\\x0d\\x0a2027 forged \\x1b[2J\\x9b")


def test_it_can_be_set_up_again() -> None:
    out = io.StringIO()
    configure_logging("info", stream=out)
    configure_logging("warning", style="json", peer_ids="none", stream=out)
    logging.getLogger("p2pchat_relay").info("not this")
    logging.getLogger("p2pchat_relay").warning("%s is here", PEER)
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["message"] == "(peer) is here"


def test_a_full_disk_behind_the_log_is_borne(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    configure_logging("info", stream=Full())
    logging.getLogger("p2pchat_relay").info("lost")
    assert capsys.readouterr().err == ""
