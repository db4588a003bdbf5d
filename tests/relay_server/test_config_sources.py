from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import ConfigError
from p2pchat_relay.acl import Access, Trust
from p2pchat_relay.config import RelayConfig, changed_keys
from p2pchat_relay.config_sources import ConfigSources, keys
from p2pchat_relay.limits import RelayLimits
from tests.relay_server.fakes import key


def load(
    text: str | None = None, /, *options: tuple[str, object], tmp: Path, **environment: str
) -> RelayConfig:
    path = None
    if text is not None:
        path = tmp / "relay.toml"
        path.write_text(text)
    named = {f"P2PCHAT_RELAY_{name}": value for name, value in environment.items()}
    return ConfigSources(path, {"HOME": "/root", "PATH": "/bin", **named}, options).load()


FULL = f"""
data_dir = "state"
listen = ["/ip4/0.0.0.0/tcp/9001/ws", "/ip6/::/tcp/9002"]
announce = ["/dns4/relay.example.org/tcp/443/tls/ws"]

[limits]
max_circuits = 7
accept_rate = 2
circuit_bytes_per_second = 0

[access.reserve]
mode = "allow"
peers = ["{key(1).peer_id}"]

[access.connect]
mode = "deny"
networks = ["203.0.113.0/24"]

[trusted]
peers = ["{key(2).peer_id}"]
pairs = [["{key(1).peer_id}", "{key(3).peer_id}"]]

[tls]
certificate = "/etc/relay/fullchain.pem"
key = "../key.pem"

[stun]
second_port = 3479

[metrics]
listen = "127.0.0.1:9464"

[log]
level = "warning"
format = "json"
peers = "none"
"""


def test_a_whole_file(tmp_path: Path) -> None:
    config = load(FULL, tmp=tmp_path)
    assert config.data_dir == tmp_path / "state", "names are seen from where the file is"
    assert config.tls.certificate == Path("/etc/relay/fullchain.pem")
    assert config.tls.key == tmp_path / "../key.pem"
    assert config.listen[1] == "/ip6/::/tcp/9002"
    assert config.limits == RelayLimits(max_circuits=7, accept_rate=2.0, circuit_bytes_per_second=0)
    assert config.access.reserve.mode == "allow"
    assert config.access.connect.networks == ("203.0.113.0/24",)
    assert config.trusted.pairs == ((str(key(1).peer_id), str(key(3).peer_id)),)
    assert config.stun.second_port == 3479
    assert (config.log.level, config.log.format, config.log.peers) == ("warning", "json", "none")


def test_nothing_at_all_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp=tmp_path) == load("", tmp=tmp_path) == RelayConfig()


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    text = "[limits]\nmax_circuits = 1\nmax_reservations = 1\ncircuit_seconds = 1\ncircuit_bytes = 1"
    config = load(
        text,
        ("limits.circuit_seconds", 3),
        ("limits.circuit_bytes", "3"),
        tmp=tmp_path,
        LIMITS_MAX_RESERVATIONS="2",
        LIMITS_CIRCUIT_SECONDS="2",
    )
    assert (config.limits.max_circuits, config.limits.max_reservations) == (1, 2)
    assert (config.limits.circuit_seconds, config.limits.circuit_bytes) == (3, 3)


def test_the_environment_can_say_everything(tmp_path: Path) -> None:
    config = load(
        tmp=tmp_path,
        LISTEN="/ip4/0.0.0.0/tcp/9001/ws, /ip4/0.0.0.0/tcp/9002",
        ANNOUNCE='["/dns4/a.example/tcp/443/tls/ws"]',
        STUN_ENABLED="no",
        STUN_SECOND_PORT="0",
        DATA_DIR="/var/lib/relay",
        LIMITS_HANDSHAKE_SECONDS="2.5",
        TRUSTED_PAIRS='[["a", "b"]]',
        LOG_PEERS="full",
    )
    assert config.listen == ("/ip4/0.0.0.0/tcp/9001/ws", "/ip4/0.0.0.0/tcp/9002")
    assert config.announce == ("/dns4/a.example/tcp/443/tls/ws",)
    assert (config.stun.enabled, config.stun.second_port) == (False, 0)
    assert config.data_dir == Path("/var/lib/relay")
    assert config.limits.handshake_seconds == 2.5
    assert config.trusted.pairs == (("a", "b"),)
    assert config.log.peers == "full"


def test_the_file_can_be_named_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("limits.max_circuits = 9")
    assert load(tmp=tmp_path, CONFIG=str(tmp_path / "r.toml")).limits.max_circuits == 9


def test_no_two_keys_share_a_variable() -> None:
    assert len({name.replace(".", "_") for name in keys()}) == len(keys())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listenn = []", "listenn: there is no such key. Did you mean listen?"),
        (
            "limits.max_circuit = 3",
            "limits.max_circuit: there is no such key. Did you mean limits.max_circuits?",
        ),
        ("[limitz]", "limitz: there is no such key. Did you mean limits?"),
        (
            "limits.max_circuits = '3'",
            "limits.max_circuits: this must be a whole number, not a text in quotes.",
        ),
        ("limits.max_circuits = -1", "limits.max_circuits: this must be a whole number >= 0."),
        (
            "limits.max_circuits = true",
            "limits.max_circuits: this must be a whole number, not true or false.",
        ),
        ("limits.accept_rate = nan", "limits.accept_rate: this must be a number >= 0.0."),
        ("limits.reservation_seconds = 5", "limits.reservation_seconds: this must be a whole number >= 60."),
        ("limits = 3", "limits: this must be a table, not a whole number."),
        ("listen = 'x'", "listen: this must be a list, not a text in quotes."),
        ("listen = ['x', 3]", "listen[1]: this must be a text in quotes, not a whole number."),
        ("access.reserve.mode = 'x'", "access.reserve.mode: this must be one of open, allow, deny."),
        ("trusted.pairs = [['a']]", "trusted.pairs[0]: this must be a list of length 2, got 1."),
        ("data_dir = ''", "data_dir: this must be the name of a file."),
        ("stun.second_port = 65536", "stun.second_port: this must be a whole number <= 65535."),
        ("a =", "this is not valid TOML: Invalid value (at end of document)."),
    ],
)
def test_a_mistake_is_named_with_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(text, tmp=tmp_path)
    assert str(error.value) == f"{tmp_path}/relay.toml: {message}"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LIMITS_MAX_CIRCUITS", "many", "this must be a whole number."),
        ("STUN_ENABLED", "perhaps", "this must be true or false."),
        (
            "LIMIT_MAX_CIRCUITS",
            "1",
            "there is no such variable. Did you mean P2PCHAT_RELAY_LIMITS_MAX_CIRCUITS?",
        ),
        ("LISTEN", "[", "this is not a list in JSON: Input data was truncated."),
        ("LOG_LEVEL", "loud", "this must be one of debug, info, warning, error."),
    ],
)
def test_a_mistake_in_the_environment(tmp_path: Path, variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp=tmp_path, **{variable: value})
    assert str(error.value) == f"P2PCHAT_RELAY_{variable}: {message}"


def test_a_mistake_in_an_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^limits\.max_circuits: this must be a whole number\.$"):
        load(None, ("limits.max_circuits", "x"), tmp=tmp_path)
    with pytest.raises(ConfigError, match=r"^limits\.nope: there is no such key"):
        load(None, ("limits.nope", "x"), tmp=tmp_path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        ConfigSources(path, {}).load()

    with pytest.raises(ConfigError, match=r"cannot be read: No such file"):
        read(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        read(tmp_path)
    (tmp_path / "binary").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 6\)"):
        read(tmp_path / "binary")
    (tmp_path / "big").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(ConfigError, match="too large"):
        read(tmp_path / "big")
    (tmp_path / "deep").write_bytes(b"a = " + b"[" * 100_000)
    with pytest.raises(ConfigError, match="not valid TOML"):
        read(tmp_path / "deep")


_VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(keys())), _VALUES)
@settings(max_examples=100)
def test_any_value_is_taken_or_refused_with_a_sentence(name: str, value: object) -> None:
    sources = ConfigSources(None, {}, ((name, value),))
    try:
        config = sources.load()
    except ConfigError as error:
        assert str(error).endswith(".")
    else:
        assert isinstance(config, RelayConfig)


def test_what_differs_between_two() -> None:
    assert changed_keys(RelayConfig(), RelayConfig()) == []
    other = RelayConfig(listen=("x",), limits=RelayLimits(max_circuits=3))
    assert changed_keys(RelayConfig(), other) == ["listen", "limits.max_circuits"]


DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "relay.md").read_text()


def test_the_documentation_names_every_limit_with_its_default() -> None:
    named: dict[str, str] = {}
    table = DOCUMENT.partition("### Limits")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", table, re.MULTILINE):
        names, values = (column.split(", ") for column in row)
        named |= dict(zip((name.strip("`") for name in names), values, strict=True))
    defaults = RelayLimits()
    assert named == {name: str(getattr(defaults, name)) for name in RelayLimits.__struct_fields__}


def test_the_examples_in_the_documentation_can_be_used(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert examples
    for example in examples:
        config = load(example, tmp=tmp_path)
        Access.of(config.access)
        Trust.of(config.trusted)
