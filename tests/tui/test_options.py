"""The command line: what it means, and what it says about mistakes."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from p2pchat_core import __version__
from p2pchat_tui.options import Options, parse_options

PEER = "12D3KooWBZyVLJfQkofqLK4op9TPkHuUumCZt1ybQrPvNm7TVQV9"
RELAY = "/ip4/127.0.0.1/tcp/9001/ws/p2p/12D3KooWRqAUEzPwKMoGstpfJVqr3aoinwKVPu4DLo9nQncbnuLk"
ADDRESS = f"{RELAY}/p2p-circuit/webrtc/p2p/{PEER}"
HOME = Path("/home/somebody/p2pchat")


def parse(*argv: str) -> Options:
    return parse_options(argv, default_data_dir=HOME)


def test_nothing_given() -> None:
    assert parse() == Options(headless=False, data_dir=HOME)
    assert parse("headless") == Options(headless=True, data_dir=HOME)


def test_everything_given() -> None:
    options = parse(
        *("--data-dir", "/tmp/x", "--relay", RELAY, "--connect", ADDRESS, "--no-embedded-relay", "--lan"),
        *("--stun", "stun:one:1", "--stun", "stun:two:2", "--turn", "turn:u:p@three:3", "--name", "bob"),
        *("--log-file", "/tmp/log", "--log-level", "debug", "--contacts-only", "headless"),
    )
    assert options == Options(
        headless=True,
        data_dir=Path("/tmp/x"),
        relays=(RELAY,),
        connect=ADDRESS,
        embedded_relay=False,
        lan=True,
        stun=("stun:one:1", "stun:two:2"),
        turn=("turn:u:p@three:3",),
        name="bob",
        contacts_only=True,
        log_file=Path("/tmp/log"),
        log_level="debug",
    )
    config = options.service_config()
    assert (config.relays, config.stun, config.relay_stun) == ((RELAY,), ("stun:one:1", "stun:two:2"), True)
    assert config.contacts_only


def test_no_stun_asks_nobody() -> None:
    config = parse("--no-stun").service_config()
    assert (config.stun, config.relay_stun) == ((), False)


def test_by_default_no_third_party_is_asked() -> None:
    assert parse().stun == ()
    assert parse().turn == ()


@pytest.mark.parametrize(
    "argv",
    [
        (ADDRESS,),
        ("--connect", ADDRESS),
        ("headless", ADDRESS),
        ("headless", "--relay", RELAY, ADDRESS),
        (RELAY,),
    ],
)
def test_an_address_is_the_same_as_connect(argv: tuple[str, ...]) -> None:
    assert parse(*argv).connect in (ADDRESS, RELAY)


def test_a_relative_directory_is_made_absolute() -> None:
    assert parse("--data-dir", "x").data_dir == Path.cwd() / "x"


def test_a_relay_given_twice_counts_once() -> None:
    assert parse("--relay", RELAY, "--relay", RELAY).relays == (RELAY,)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--bogus",), "--bogus"),
        (("--rel", RELAY), "--rel"),
        (("--relay",), "--relay"),
        (("--relay", "nonsense"), "nonsense"),
        (("--relay", ADDRESS), "use --connect"),
        (("--relay", "/ip4/1.2.3.4/udp/9/quic-v1"), "QUIC"),
        (("--connect", "http://example.org"), "http://example.org"),
        (("--connect", PEER), "peer id"),
        ((ADDRESS, ADDRESS), "Only one address"),
        ((ADDRESS, "--connect", ADDRESS), "Only one address"),
        (("--stun", "example.org"), "STUN"),
        (("--stun", "stun:example.org:99999"), "port"),
        (("--stun", "turn:example.org:1"), "STUN"),
        (("--turn", "turn:example.org"), "TURN"),
        (("--stun", "stun:one:1", "--no-stun"), "exclude"),
        (("--contacts-only",), "headless"),
        (("--log-level", "loud"), "loud"),
    ],
)
def test_a_mistake_is_one_sentence(
    argv: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*argv)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("p2pchat: ")
    assert err.count("\n") == 1
    assert words in err


def test_a_password_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--turn", "turn:user:hunter2@")
    assert "hunter2" not in capsys.readouterr().err


def test_help_names_both_faces(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    assert "p2pchat headless" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"p2pchat {__version__}\n"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == __version__


def test_the_command_line_loads_nothing_heavy() -> None:
    """So that --version, --help and mistakes answer at once."""
    code = (
        "import sys, p2pchat_tui.cli\n"
        "heavy = {'asyncio', 'cryptography', 'google', 'sqlite3', 'msgspec', 'textual', 'websockets', 'aiortc'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"
