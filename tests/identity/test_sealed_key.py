from __future__ import annotations

import base64
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import IdentityError, PassphraseNeededError, WrongPassphraseError
from p2pchat_core.identity import sealed_key
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.identity.keystore import (
    identity_is_sealed,
    load_identity,
    load_or_create_identity,
    write_identity,
)
from p2pchat_core.identity.sealed_key import is_sealed, open_sealed_key, seal_key

if TYPE_CHECKING:
    from pathlib import Path

KEY = PrivateKey.from_seed(bytes(range(32)))


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second a guess is for attackers."""
    monkeypatch.setattr(sealed_key, "_COST", 14)


def sealed(passphrase: bytes = b"correct horse") -> bytes:
    return seal_key(KEY, passphrase, salt=bytes(16), nonce=bytes(12))


def raw(data: bytes) -> bytearray:
    return bytearray(base64.b64decode(b"".join(data.splitlines()[1:-1])))


def armoured(data: bytes) -> bytes:
    begin, *_, end = sealed().splitlines()
    return b"\n".join([begin, base64.b64encode(data), end])


def test_opens_with_its_passphrase_alone() -> None:
    data = sealed()
    assert is_sealed(data)
    assert KEY.to_protobuf()[4:36] not in raw(data)
    assert open_sealed_key(data, b"correct horse").to_protobuf() == KEY.to_protobuf()
    for wrong in (b"", b"correct hors", b"Correct horse"):
        with pytest.raises(WrongPassphraseError):
            open_sealed_key(data, wrong)


def test_blanks_and_line_ends_of_a_pasted_key_do_not_matter() -> None:
    pasted = b"\r\n  " + sealed().replace(b"\n", b"\r\n ") + b"\n\n"
    assert open_sealed_key(pasted, b"correct horse").peer_id == KEY.peer_id


@pytest.mark.parametrize("index", [1, 16, 17, 28, 29, 60, -1])
def test_a_changed_byte_is_noticed(index: int) -> None:
    data = raw(sealed())
    data[index] ^= 1
    with pytest.raises(WrongPassphraseError):
        open_sealed_key(armoured(data), b"correct horse")


@pytest.mark.parametrize("cost", [0, 13, 19, 40, 255])
def test_what_would_cost_too_much_or_too_little_is_refused(cost: int) -> None:
    data = raw(sealed())
    data[0] = cost
    with pytest.raises(IdentityError, match="work of"):
        open_sealed_key(armoured(data), b"correct horse")


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=28).map(armoured)))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IdentityError):
        open_sealed_key(data, b"passphrase")


def test_an_empty_passphrase_seals_nothing() -> None:
    with pytest.raises(IdentityError, match="protects nothing"):
        sealed(b"")


# --- in the key file ------------------------------------------------------------------------------------------------


def test_a_new_key_file_is_sealed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    key = load_or_create_identity(path, b"secret")
    assert identity_is_sealed(path)
    assert load_identity(path, b"secret").peer_id == key.peer_id
    with pytest.raises(PassphraseNeededError):
        load_or_create_identity(path)
    with pytest.raises(WrongPassphraseError):
        load_or_create_identity(path, b"Secret")


def test_a_passphrase_for_an_open_key_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    load_or_create_identity(path)
    assert not identity_is_sealed(path)
    with pytest.raises(IdentityError, match="is not kept under a passphrase"):
        load_or_create_identity(path, b"secret")


def test_no_file(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    assert not identity_is_sealed(path)
    with pytest.raises(IdentityError, match="There is no key file"):
        load_identity(path)
    assert not path.exists()


def test_the_passphrase_changes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    write_identity(path, KEY, b"first", replace=False)
    write_identity(path, KEY, b"second", replace=True)
    with pytest.raises(WrongPassphraseError):
        load_identity(path, b"first")
    assert load_identity(path, b"second").peer_id == KEY.peer_id
    write_identity(path, KEY, replace=True)
    assert load_identity(path).peer_id == KEY.peer_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    before = load_or_create_identity(path)
    with pytest.raises(IdentityError, match="exists already"):
        write_identity(path, KEY, replace=False)
    assert load_identity(path).peer_id == before.peer_id
    assert list(tmp_path.iterdir()) == [path]
