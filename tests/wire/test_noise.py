"""Noise: whole transcripts of js-libp2p byte for byte, everything that must be refused, and the session."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import IdentityError, LocalProtocolError, RemoteProtocolError
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.pb.noise_pb2 import NoiseHandshakePayload
from p2pchat_core.wire import noise_payload
from p2pchat_core.wire.noise import YAMUX, NoiseHandshake, NoiseSession
from tests.support.vectors import vectors

ALICE = PrivateKey.from_seed(bytes(range(32)))
BOB = PrivateKey.from_seed(bytes(range(32, 64)))
CAROL = PrivateKey.from_seed(bytes(range(64, 96)))
VECTORS = vectors("noise")
# No extensions; an empty list; one muxer: what each transcript was made with.
MUXERS: dict[str, tuple[str, ...] | None] = {
    "XX, empty prologue, both offer /yamux/1.0.0": (YAMUX,),
    "XX, empty prologue, no extensions (muxer via multistream-select)": None,
}

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[str(n) for n, _ in enumerate(VECTORS)])
cuts = pytest.mark.parametrize("step", [1, 7, 100_000], ids=["byte at a time", "seven bytes", "all at once"])


def from_vector(vector: dict[str, Any], role: str) -> NoiseHandshake:
    initiator = role == "initiator"
    return NoiseHandshake(
        initiator=initiator,
        identity=ALICE if initiator else BOB,
        static_key=bytes.fromhex(vector[f"{role}_static_private"]),
        ephemeral_key=bytes.fromhex(vector[f"{role}_ephemeral_private"]),
        expected=(BOB if initiator else ALICE).peer_id,
        muxers=MUXERS.get(vector["name"], ()),
        prologue=bytes.fromhex(vector["prologue"]),
    )


def handshake(
    identity: PrivateKey,
    *,
    initiator: bool,
    expected: PrivateKey | None = None,
    muxers: tuple[str, ...] | None = (YAMUX,),
    prologue: bytes = b"",
) -> NoiseHandshake:
    seed = identity.public_key.to_protobuf() + bytes([initiator])
    return NoiseHandshake(
        initiator=initiator,
        identity=identity,
        static_key=hashlib.sha256(b"static" + seed).digest(),
        ephemeral_key=hashlib.sha256(b"ephemeral" + seed).digest(),
        expected=expected.peer_id if expected is not None else None,
        muxers=muxers,
        prologue=prologue,
    )


def feed(machine: NoiseHandshake | NoiseSession, data: bytes, step: int) -> None:
    for start in range(0, len(data), step):
        machine.receive_data(data[start : start + step])


def run(left: NoiseHandshake, right: NoiseHandshake, step: int = 100_000) -> None:
    """Carry messages to and fro until both are complete."""
    for _ in range(3):
        feed(right, left.take_output(), step)
        feed(left, right.take_output(), step)


def sessions() -> tuple[NoiseSession, NoiseSession]:
    left, right = handshake(ALICE, initiator=True), handshake(BOB, initiator=False)
    run(left, right)
    return left.session(), right.session()


# --- transcripts ---------------------------------------------------------------------------------------------


@each_vector
@cuts
def test_initiator_transcript(vector: dict[str, Any], step: int) -> None:
    machine = from_vector(vector, "initiator")
    assert machine.take_output().hex() == vector["wire_message_1"]
    feed(machine, bytes.fromhex(vector["wire_message_2"]), step)
    assert machine.take_output().hex() == vector["wire_message_3"]
    assert machine.complete
    assert machine.result.remote_peer == BOB.peer_id
    assert machine.result.handshake_hash.hex() == vector["handshake_hash"]


@each_vector
@cuts
def test_responder_transcript(vector: dict[str, Any], step: int) -> None:
    machine = from_vector(vector, "responder")
    assert machine.take_output() == b""
    feed(machine, bytes.fromhex(vector["wire_message_1"]), step)
    assert machine.take_output().hex() == vector["wire_message_2"]
    assert not machine.complete
    feed(machine, bytes.fromhex(vector["wire_message_3"]), step)
    assert machine.complete
    assert machine.result.remote_peer == ALICE.peer_id
    assert machine.result.handshake_hash.hex() == vector["handshake_hash"]


@each_vector
@cuts
def test_transport_frames(vector: dict[str, Any], step: int) -> None:
    left, right = from_vector(vector, "initiator"), from_vector(vector, "responder")
    run(left, right, step)
    initiator, responder = left.session(), right.session()
    first, second, back = (vector[f"transport_{name}"] for name in ("i2r_0", "i2r_1", "r2i_0"))
    assert initiator.encrypt(first["plaintext_utf8"].encode()).hex() == first["wire"]
    assert initiator.encrypt(bytes.fromhex(second["plaintext_hex"])).hex() == second["wire"]
    assert responder.encrypt(back["plaintext_utf8"].encode()).hex() == back["wire"]
    feed(responder, bytes.fromhex(first["wire"] + second["wire"]), step)
    feed(initiator, bytes.fromhex(back["wire"]), step)
    assert responder.take_plaintext() == b"hello from initiator" + bytes.fromhex(second["plaintext_hex"])
    assert initiator.take_plaintext() == b"hello from responder"


@each_vector
@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_payload(vector: dict[str, Any], role: str) -> None:
    identity = ALICE if role == "initiator" else BOB
    static_key = bytes.fromhex(vector[f"{role}_static_public"])
    payload = noise_payload.encode_payload(identity, static_key, MUXERS.get(vector["name"], ()))
    assert payload.hex() == vector[f"{role}_payload"]


@cuts
def test_frames_may_follow_the_last_message_at_once(step: int) -> None:
    left, right = handshake(ALICE, initiator=True), handshake(BOB, initiator=False)
    right.receive_data(left.take_output())
    left.receive_data(right.take_output())
    feed(right, left.take_output() + left.session().encrypt(b"early"), step)
    assert right.session().take_plaintext() == b"early"


# --- who is there --------------------------------------------------------------------------------------------


def test_anyone_will_do_when_nobody_is_expected() -> None:
    left, right = handshake(ALICE, initiator=True), handshake(CAROL, initiator=False)
    run(left, right)
    assert left.result.remote_peer == CAROL.peer_id
    assert left.result.remote_key.to_protobuf() == CAROL.public_key.to_protobuf()
    assert right.result.remote_peer == ALICE.peer_id
    assert left.result.handshake_hash == right.result.handshake_hash


def test_wrong_peer_at_the_initiator() -> None:
    left, right = handshake(ALICE, initiator=True, expected=BOB), handshake(CAROL, initiator=False)
    with pytest.raises(IdentityError, match="expected"):
        run(left, right)
    assert not left.complete
    assert left.take_output() == b"", "a stranger must not learn who we are"


def test_wrong_peer_at_the_responder() -> None:
    left, right = handshake(ALICE, initiator=True), handshake(BOB, initiator=False, expected=CAROL)
    with pytest.raises(IdentityError, match="expected"):
        run(left, right)
    assert not right.complete


@pytest.mark.parametrize("initiator", [True, False])
def test_signature_of_another_static_key(initiator: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    machines = {True: handshake(ALICE, initiator=True), False: handshake(BOB, initiator=False)}
    forged = noise_payload.encode_payload(CAROL, bytes(32), (YAMUX,))
    monkeypatch.setattr(machines[not initiator], "_payload", lambda: forged)
    with pytest.raises(IdentityError, match="prove"):
        run(machines[True], machines[False])
    assert not machines[initiator].complete


@pytest.mark.parametrize("field", ["identity_key", "identity_sig"])
def test_payload_without_proof(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = handshake(ALICE, initiator=True), handshake(BOB, initiator=False)
    payload = NoiseHandshakePayload.FromString(right._payload())
    payload.ClearField(field)
    monkeypatch.setattr(right, "_payload", payload.SerializeToString)
    with pytest.raises(IdentityError):
        run(left, right)


@pytest.mark.parametrize("payload", [b"\xff" * 40, b"\x0a\x7f", b"\x22\x04\x12\x02\xff\xfe"])
def test_payload_that_is_none(payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = handshake(ALICE, initiator=True), handshake(BOB, initiator=False)
    monkeypatch.setattr(right, "_payload", lambda: payload)
    with pytest.raises((RemoteProtocolError, IdentityError)):
        run(left, right)


def test_unknown_fields_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = handshake(ALICE, initiator=True), handshake(BOB, initiator=False)
    early_data = b"\x1a\x05hello"
    payload = right._payload() + early_data
    monkeypatch.setattr(right, "_payload", lambda: payload)
    run(left, right)
    assert left.complete


def test_different_prologues_do_not_meet() -> None:
    left = handshake(ALICE, initiator=True, prologue=b"one")
    right = handshake(BOB, initiator=False, prologue=b"two")
    with pytest.raises(RemoteProtocolError, match="decrypted"):
        run(left, right)


# --- muxers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initiator", "responder", "agreed"),
    [
        ((YAMUX,), (YAMUX,), YAMUX),
        (("/a", "/b", "/c"), ("/c", "/b"), "/b"),
        ((YAMUX,), ("/mplex/6.7.0", YAMUX), YAMUX),
        ((YAMUX,), ("/mplex/6.7.0",), None),
        ((YAMUX,), (), None),
        ((YAMUX,), None, None),
        (None, (YAMUX,), None),
        ((), (), None),
    ],
)
def test_muxer(
    initiator: tuple[str, ...] | None, responder: tuple[str, ...] | None, agreed: str | None
) -> None:
    left = handshake(ALICE, initiator=True, muxers=initiator)
    right = handshake(BOB, initiator=False, muxers=responder)
    run(left, right)
    assert left.result.muxer == right.result.muxer == agreed


def test_a_list_of_muxers_without_end_is_no_list() -> None:
    left = handshake(ALICE, initiator=True)
    right = handshake(BOB, initiator=False, muxers=(YAMUX,) * (limits.NOISE_MAX_MUXERS + 1))
    run(left, right)
    assert left.result.muxer is None


# --- hostile messages ----------------------------------------------------------------------------------------

# Points of small order: every exchange with them gives zero.
LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
]


@pytest.mark.parametrize("key", LOW_ORDER, ids=["zero", "one", "order eight"])
def test_keys_that_give_no_secrecy(key: bytes) -> None:
    responder = handshake(BOB, initiator=False)
    with pytest.raises(RemoteProtocolError, match="secrecy"):
        responder.receive_data(b"\x00\x20" + key)
    assert responder.take_output() == b""
    initiator = handshake(ALICE, initiator=True)
    with pytest.raises(RemoteProtocolError, match="secrecy"):
        initiator.receive_data(b"\x00\xd8" + key + bytes(0xD8 - 32))


def test_every_flipped_bit_of_the_second_message_is_noticed() -> None:
    message = bytes.fromhex(VECTORS[0]["wire_message_2"])
    for index in range(2, len(message)):
        machine = from_vector(VECTORS[0], "initiator")
        damaged = bytearray(message)
        damaged[index] ^= 1 << index % 8
        # The top bit of a Curve25519 key is ignored by the curve, but not by the hash of the handshake.
        with pytest.raises((RemoteProtocolError, IdentityError)):
            machine.receive_data(bytes(damaged))
        assert not machine.complete


@pytest.mark.parametrize("length", [0, 31, 32 + limits.NOISE_MAX_PAYLOAD + 1, 65535])
def test_length_of_the_first_message(length: int) -> None:
    machine = handshake(BOB, initiator=False)
    with pytest.raises(RemoteProtocolError, match="cannot be right"):
        machine.receive_data(length.to_bytes(2, "big"))


@pytest.mark.parametrize("length", [0, 95, 96 + limits.NOISE_MAX_PAYLOAD + 1, 65535])
def test_length_of_the_second_message(length: int) -> None:
    machine = handshake(ALICE, initiator=True)
    with pytest.raises(RemoteProtocolError, match="cannot be right"):
        machine.receive_data(length.to_bytes(2, "big"))


def test_a_failed_handshake_stays_failed() -> None:
    machine = handshake(BOB, initiator=False)
    with pytest.raises(RemoteProtocolError):
        machine.receive_data(b"\x00\x00")
    with pytest.raises(RemoteProtocolError, match="before"):
        machine.receive_data(b"\x00\x20" + bytes(32))


def test_what_is_asked_too_early() -> None:
    machine = handshake(ALICE, initiator=True)
    with pytest.raises(LocalProtocolError):
        _ = machine.result
    with pytest.raises(LocalProtocolError):
        machine.session()


def test_one_session_only() -> None:
    left, right = handshake(ALICE, initiator=True), handshake(BOB, initiator=False)
    run(left, right)
    left.session()
    with pytest.raises(LocalProtocolError):
        left.session()


# --- session -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65518, 65519, 65520, 200_000])
@pytest.mark.parametrize("step", [4099, 70_001, 10_000_000])
def test_any_amount(size: int, step: int) -> None:
    sender, receiver = sessions()
    plaintext = (bytes(range(256)) * (size // 256 + 1))[:size]
    wire = sender.encrypt(plaintext)
    frames = -(-size // limits.NOISE_MAX_PLAINTEXT)
    assert len(wire) == size + frames * 18
    feed(receiver, wire, step)
    assert receiver.take_plaintext() == plaintext
    assert not receiver.mid_frame


def test_a_frame_without_content_is_legal() -> None:
    sender, receiver = sessions()
    empty = sender._sending.encrypt(b"")
    receiver.receive_data(b"\x00\x10" + empty + sender.encrypt(b"after"))
    assert receiver.take_plaintext() == b"after"


def test_where_a_frame_is_unfinished() -> None:
    sender, receiver = sessions()
    wire = sender.encrypt(b"hello")
    receiver.receive_data(wire[:-1])
    assert receiver.mid_frame
    assert receiver.take_plaintext() == b""
    receiver.receive_data(wire[-1:])
    assert not receiver.mid_frame
    assert receiver.take_plaintext() == b"hello"


def test_what_came_before_the_damage_is_kept() -> None:
    sender, receiver = sessions()
    good, bad = sender.encrypt(b"good"), bytearray(sender.encrypt(b"bad"))
    bad[-1] ^= 1
    with pytest.raises(RemoteProtocolError, match="decrypted"):
        receiver.receive_data(good + bytes(bad))
    assert receiver.take_plaintext() == b"good"
    with pytest.raises(RemoteProtocolError, match="before"):
        receiver.receive_data(sender.encrypt(b"more"))


@pytest.mark.parametrize("order", [(1, 0), (0, 0), (1,)], ids=["swapped", "replayed", "dropped"])
def test_frames_count(order: tuple[int, ...]) -> None:
    sender, receiver = sessions()
    frames = [sender.encrypt(b"one"), sender.encrypt(b"two")]
    with pytest.raises(RemoteProtocolError):
        receiver.receive_data(b"".join(frames[n] for n in order))


def test_own_frames_do_not_come_back() -> None:
    sender, _ = sessions()
    with pytest.raises(RemoteProtocolError):
        sender.receive_data(sender.encrypt(b"echo"))


@pytest.mark.parametrize("length", range(16))
def test_frames_shorter_than_their_tag(length: int) -> None:
    _, receiver = sessions()
    with pytest.raises(RemoteProtocolError, match="too short"):
        receiver.receive_data(length.to_bytes(2, "big"))


def test_a_key_encrypts_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, receiver = sessions()
    monkeypatch.setattr(limits, "NOISE_MAX_MESSAGES", 2)
    wire = sender.encrypt(b"one") + sender.encrypt(b"two")
    with pytest.raises(LocalProtocolError, match="anew"):
        sender.encrypt(b"three")
    receiver.receive_data(wire)
    with pytest.raises(RemoteProtocolError, match="more than"):
        receiver.receive_data(wire[: len(wire) // 2])
