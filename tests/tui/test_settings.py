"""The settings file, the environment, profiles: what they mean, and what is said about mistakes in them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from p2pchat_core.errors import ConfigError
from p2pchat_tui import settings
from p2pchat_tui.cli import main
from p2pchat_tui.options import Options, effective, parse_options, read_arguments
from p2pchat_tui.preferences import DESKTOP, TIMESTAMPS, Preferences
from p2pchat_tui.settings import ENVIRONMENT, Settings, environment_layer, file_layers, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

RELAY = "/ip4/127.0.0.1/tcp/9001/ws/p2p/12D3KooWRqAUEzPwKMoGstpfJVqr3aoinwKVPu4DLo9nQncbnuLk"
HOME = Path("/home/somebody/p2pchat")
EVERYTHING = f"""
name = "alice"
relays = ["{RELAY}"]
embedded_relay = false
lan = true
stun = ["stun:one.example:3478"]
relay_stun = false
theme = "light"
reduced_motion = true
timestamps = "long"

[[turn]]
url = "turn:two.example:3478"
user = "me"
password = "a:b@c/d"

[notifications]
bell = true
desktop = "osc9"
hide_text = false

[keys]
connect = "Ctrl+G"

[profiles.work]
name = "Alice W."
keys.help = "f12"
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def parse(*argv: object) -> Options:
    return parse_options([str(word) for word in argv], default_data_dir=HOME)


def test_everything_in_a_file(write: Callable[[str], Path]) -> None:
    options = parse("--config", write(EVERYTHING))
    assert options == Options(
        headless=False,
        data_dir=HOME,
        name="alice",
        relays=(RELAY,),
        embedded_relay=False,
        lan=True,
        stun=("stun:one.example:3478",),
        relay_stun=False,
        turn=("turn:me:a%3Ab%40c%2Fd@two.example:3478",),
        preferences=Preferences("light", True, "long", True, "osc9", False, {"connect": "Ctrl+G"}),
    )
    # The credentials arrive as they were written.
    from p2pchat_core.chat.ice import ice_config

    (server,) = ice_config((), options.turn).turn
    assert (server.username, server.credential) == ("me", "a:b@c/d")


def test_the_example_in_the_documentation_is_in_order(write: Callable[[str], Path]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    example = page.split("```toml\n", 1)[1].split("```", 1)[0]
    layers = file_layers(write(example), None)
    mentioned = set(tomllib.loads(example))
    assert mentioned == {*Settings.__struct_fields__, "profiles"}
    assert resolve(layers).values["name"]
    for variable in ENVIRONMENT:
        assert variable in page


def test_the_defaults_are_the_same_everywhere() -> None:
    plain = Options(headless=False, data_dir=HOME)
    assert parse() == plain
    assert parse("--config", "/dev/null") == plain
    values = resolve([]).values
    assert set(resolve([]).origins.values()) == {"default"}
    assert msgspec.to_builtins(Settings())["notifications"] == {
        name: getattr(Preferences(), name) for name in ("bell", "desktop", "hide_text")
    }
    assert values["timestamps"] in TIMESTAMPS
    assert values["notifications.desktop"] in DESKTOP


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--relay", RELAY, "--lan", "--name", "x", "--theme", "dark"),
        ("--no-stun", "--no-embedded-relay"),
        ("--stun", "stun:a:1", "--turn", "turn:u:p@b:1", "--plain"),
    ],
)
def test_reading_no_file_makes_no_difference(
    argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A start without settings does not load what reads them, and comes to the same."""
    with_file = parse(*argv)
    monkeypatch.delenv("P2PCHAT_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(settings, "resolve", lambda _layers: pytest.fail("the settings were read"))
    assert parse(*argv) == with_file


def test_layers_lie_over_each_other(write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(EVERYTHING)
    monkeypatch.setenv("P2PCHAT_NAME", "from the environment")
    monkeypatch.setenv("P2PCHAT_NOTIFICATIONS_BELL", "off")
    monkeypatch.setenv("P2PCHAT_THEME", "dark")
    arguments = read_arguments(["--config", str(path), "--profile", "work", "--theme", "system", "--no-lan"])
    values, origins = effective(arguments)
    seen = {key: (values.get(key), origins[key]) for key in origins}
    assert seen["name"] == ("from the environment", "P2PCHAT_NAME")
    assert seen["notifications.bell"] == (False, "P2PCHAT_NOTIFICATIONS_BELL")
    assert seen["notifications.desktop"] == ("osc9", str(path))
    assert seen["theme"] == ("system", "--theme")
    assert seen["lan"] == (False, "--no-lan")
    assert values["keys"] == {"connect": "Ctrl+G", "help": "f12"}
    assert origins["keys.help"] == f"{path} [profiles.work]"
    monkeypatch.delenv("P2PCHAT_NAME")
    assert effective(arguments)[0]["name"] == "Alice W."


def test_every_setting_but_the_keys_has_a_variable() -> None:
    assert set(ENVIRONMENT.values()) == set(resolve([]).values) - {"keys"}


def test_variables_hold_lists_and_truths() -> None:
    layer = environment_layer(
        {
            "P2PCHAT_RELAYS": "/one, /two  /three",
            "P2PCHAT_TURN": "turn:me:a%40b@host:1",
            "P2PCHAT_LAN": "Yes",
            "P2PCHAT_RELAY_STUN": "0",
            "P2PCHAT_NAME": "1",
            "P2PCHAT_THEME": "  ",
            "P2PCHAT_RELAY_LISTEN": "not ours",
        }
    )
    assert layer.values == {
        "relays": ["/one", "/two", "/three"],
        "turn": [{"url": "turn:host:1", "user": "me", "password": "a@b"}],
        "lan": True,
        "relay_stun": False,
        "name": "1",
    }
    assert layer.origin("lan") == "P2PCHAT_LAN"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("nam = 1", "nam", "did you mean name?"),
        ("name = 1", "name", "expected text"),
        (f'name = "{"x" * 65}"', "name", "64"),
        ('lan = "yes"', "lan", "expected true or false"),
        ('share_name = "no"', "share_name", "expected true or false"),
        ("ephemeral = 1", "ephemeral", "expected true or false"),
        ("retention_days = 0", "retention_days", "a number of days from 1"),
        ('retention_days = "a week"', "retention_days", "a number of days from 1"),
        ("profiles.work.retention_days = -1", "profiles.work.retention_days", "a number of days from 1"),
        ('relays = "x"', "relays", "expected a list"),
        ('relays = ["/x", 1]', "relays[1]", "expected text"),
        ('relays = ["nonsense"]', "relays", "nonsense"),
        ('stun = ["nonsense"]', "stun", "STUN"),
        ('notifications.desktop = "dbus"', "notifications.desktop", "one of off, osc9, osc777"),
        ("notifications.bel = true", "notifications.bel", "did you mean notifications.bell?"),
        ("notifications = 1", "notifications", "expected a table"),
        ("keys.connect = 3", "keys.connect", "expected text"),
        ('keys.conect = "f5"', "keys.conect", "did you mean connect?"),
        ('keys.connect = "hyper+o"', "keys.connect", "'hyper'"),
        ('keys.connect = "x"', "keys.connect", "needed for typing"),
        ('keys.connect = "ctrl+m"', "keys.connect", "Enter"),
        ('keys.connect = "f99"', "keys.connect", "'f99'"),
        ('keys.connect = ""', "keys.connect", "no key"),
        ('keys.connect = "f1"', "keys.help", "already the key of connect"),
        ("keys = 1", "keys", "expected a table"),
        ('[[turn]]\nurl = "turn:h"\nuser = "u"', "turn[0]", "password is missing"),
        ('[[turn]]\nurl = "turn:h"\nuser = "u"\npasword = ""', "turn[0].pasword", "no such setting"),
        ('[[turn]]\nurl = "turn:u:secret@h"\nuser = "u"\npassword = ""', "turn[0].url", "turn:host:port"),
        ('theme = "../x"', "theme", "small letters"),
        ('timestamps = "never"', "timestamps", "one of off, short, long"),
        ("profiles = 1", "profiles", "[profiles.work]"),
        ("profiles.work = 1", "profiles.work", "a table"),
        ("profiles.work.nam = 1", "profiles.work.nam", "did you mean name?"),
        ('profiles.work.keys.help = "x"', "profiles.work.keys.help", "needed for typing"),
        ("name = ", "not TOML", "at "),
        ('name = "a"\nname = "b"\n', "line 2", "not TOML"),
    ],
)
def test_a_mistake_in_the_file_names_the_file_and_the_key(
    text: str, key: str, words: str, write: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(text)
    with pytest.raises(SystemExit) as caught:
        parse("--config", path)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"p2pchat: {path}")
    assert key in error.removeprefix(f"p2pchat: {path}")
    assert words in error
    assert error.count("\n") == 1
    assert "secret" not in error
    assert main(["config", "check", "--config", str(path)]) == 2
    assert capsys.readouterr().err == error


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("P2PCHAT_LAN", "maybe"),
        ("P2PCHAT_TIMESTAMPS", "x"),
        ("P2PCHAT_RELAYS", "nonsense"),
        ("P2PCHAT_TURN", "turn:user:hunter2@"),
        ("P2PCHAT_STUN", "nonsense"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit):
        parse()
    error = capsys.readouterr().err
    assert variable in error
    assert "hunter2" not in error


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * (1 << 20) + b"xx"])
def test_a_file_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        file_layers(path, None)


def test_nothing_in_a_file_makes_anything_but_a_config_error(write: Callable[[str], Path]) -> None:
    values = ("1", "1.5", '"x"', "true", "[]", "[1]", "{}", "{a = 1}", "1979-05-27", "[[]]", "[{}]")
    names = [*Settings.__struct_fields__, "profiles", "notifications.bell", "keys.help", "profiles.x", '""']
    for name in names:
        for value in values:
            try:
                resolve(file_layers(write(f"{name} = {value}"), "x"))
            except ConfigError as error:
                assert name.strip('"') in str(error)


def test_a_profile_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse("--profile", "work").data_dir == HOME / "profiles" / "work"
    monkeypatch.setenv("P2PCHAT_PROFILE", "home")
    assert parse().data_dir == HOME / "profiles" / "home"
    assert parse("--profile", "work", "--data-dir", "/tmp/x").data_dir == Path("/tmp/x")
    monkeypatch.setenv("P2PCHAT_DATA_DIR", "/tmp/y")
    assert parse().data_dir == Path("/tmp/y")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "x" * 33, "-a", "é"])
def test_a_profile_is_no_path(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name:
        with pytest.raises(SystemExit):
            parse(f"--profile={name}")
        assert "profile" in capsys.readouterr().err
    else:
        assert parse("--profile", name).data_dir == HOME


def test_show_prints_what_counts_and_hides_passwords(
    write: Callable[[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(EVERYTHING.replace("alice", 'a\\"\\u001b\\\\'))
    monkeypatch.setenv("P2PCHAT_LAN", "no")
    assert main(["config", "show", "--config", str(path), "--theme", "dark"]) == 0
    out = capsys.readouterr().out
    assert "a:b@c/d" not in out
    assert "\x1b" not in out
    assert f'connect = "Ctrl+G"  # {path}' in out
    assert "lan = false  # P2PCHAT_LAN" in out
    assert 'theme = "dark"  # --theme' in out
    shown: dict[str, Any] = tomllib.loads(out)
    assert shown["name"] == 'a"\x1b\\'
    assert shown["turn"] == [{"url": "turn:two.example:3478", "user": "me", "password": "(hidden)"}]
    assert set(shown) == set(Settings.__struct_fields__) - {"retention_days"}
    assert "# retention_days is not set  # default" in out
    assert resolve(file_layers(write(out), None)).values["timestamps"] == "long"


def test_check_and_path(
    write: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(EVERYTHING)
    path.chmod(0o644)
    monkeypatch.setenv("P2PCHAT_NAMME", "x")
    assert main(["config", "check", "--config", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "in order" in out
    assert f"chmod 600 {path}" in err
    assert "P2PCHAT_NAMME sets nothing" in err
    assert main(["config", "path", "--config", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert main(["config", "check", "--config", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err
    monkeypatch.delenv("P2PCHAT_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert main(["config", "check"]) == 0
    assert "does not exist" in capsys.readouterr().out
    for words in (["config"], ["config", "edit"], ["config", "show", "x"]):
        with pytest.raises(SystemExit):
            main(words)


def test_a_start_without_settings_loads_no_reader_of_them(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom p2pchat_tui.options import parse_options\nparse_options(['--name', 'x'])\n"
        "print(sorted({'msgspec', 'tomllib', 'textual', 'asyncio'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={"PYTHONPATH": ":".join(sys.path), "XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert done.stdout == "[]\n"


def test_what_is_kept_can_be_set_anywhere(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("share_name = false\nephemeral = true\nretention_days = 30")
    config = parse("--config", path).service_config()
    assert (config.share_name, config.ephemeral, config.retention_days) == (False, True, 30)
    monkeypatch.setenv("P2PCHAT_RETENTION_DAYS", "7")
    config = parse("--config", path, "--no-ephemeral", "--share-name").service_config()
    assert (config.share_name, config.ephemeral, config.retention_days) == (True, False, 7)
    assert parse("--config", path, "--retention-days", "3").service_config().retention_days == 3
    assert main(["config", "show", "--config", str(path)]) == 0
    assert "retention_days = 7  # P2PCHAT_RETENTION_DAYS" in capsys.readouterr().out
    monkeypatch.setenv("P2PCHAT_RETENTION_DAYS", "soon")
    with pytest.raises(SystemExit):
        parse("--config", path)
    assert "P2PCHAT_RETENTION_DAYS: expected a number of days" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse("--retention-days", "0")
    assert "--retention-days takes a number from 1" in capsys.readouterr().err
