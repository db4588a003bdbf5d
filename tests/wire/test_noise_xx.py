"""The pattern against the vectors of two other implementations, as initiator and as responder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.wire.noise_xx import OVERHEAD, XXHandshake

FILE = Path(__file__).parents[1] / "vectors" / "noise-xx.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))["vectors"]

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[vector["source"] for vector in VECTORS])


def side(vector: dict[str, Any], role: str) -> XXHandshake:
    return XXHandshake(
        initiator=role == "init",
        static_key=bytes.fromhex(vector[f"{role}_static"]),
        ephemeral_key=bytes.fromhex(vector[f"{role}_ephemeral"]),
        prologue=bytes.fromhex(vector["prologue"]),
    )


def messages(vector: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(bytes.fromhex(payload), bytes.fromhex(wire)) for payload, wire in vector["messages"]]


def test_both_suites_are_there() -> None:
    assert {vector["source"] for vector in VECTORS} == {"cacophony", "snow"}
    assert sum(len(vector["messages"]) for vector in VECTORS) == 11


@each_vector
@pytest.mark.parametrize("role", ["init", "resp"])
def test_every_message(vector: dict[str, Any], role: str) -> None:
    machine = side(vector, role)
    other = side(vector, "resp" if role == "init" else "init")
    for number, (payload, wire) in enumerate(messages(vector)[:3]):
        if (number % 2 == 0) == (role == "init"):
            assert machine.write(payload) == wire
        else:
            assert machine.read(wire) == payload
        assert len(wire) - len(payload) == OVERHEAD[number]
    assert machine.remote_static == other.static_public
    if "handshake_hash" in vector:
        assert machine.hash.hex() == vector["handshake_hash"]
    sending, receiving = machine.split()
    # The responder speaks first after the handshake: the turns go on.
    for number, (payload, wire) in enumerate(messages(vector)[3:], 3):
        if (number % 2 == 0) == (role == "init"):
            assert sending.encrypt(payload) == wire
        else:
            assert receiving.decrypt(wire) == payload


@each_vector
def test_every_changed_byte_is_noticed(vector: dict[str, Any]) -> None:
    (_, first), (_, second), _ = messages(vector)[:3]
    for index in range(len(second)):
        changed = bytearray(second)
        changed[index] ^= 1
        machine = side(vector, "init")
        assert machine.write(bytes.fromhex(vector["messages"][0][0])) == first
        with pytest.raises(RemoteProtocolError):
            machine.read(bytes(changed))
