"""What the packages multiaddr and noiseprotocol make of inputs: one JSON line in, one out, in order."""

from __future__ import annotations

import json
import sys
from typing import Any

from multiaddr import Multiaddr
from noise.connection import Keypair, NoiseConnection


def _address(value: Multiaddr) -> dict[str, Any]:
    return {"text": str(value), "hex": value.to_bytes().hex()}


def _noise(script: dict[str, Any]) -> dict[str, Any]:
    """Play one side of Noise_XX_25519_ChaChaPoly_SHA256: with given keys, what is written for what is read."""
    machine = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
    machine.set_prologue(bytes.fromhex(script["prologue"]))
    machine.set_keypair_from_private_bytes(Keypair.STATIC, bytes.fromhex(script["static"]))
    machine.set_keypair_from_private_bytes(Keypair.EPHEMERAL, bytes.fromhex(script["ephemeral"]))
    if script["initiator"]:
        machine.set_as_initiator()
    else:
        machine.set_as_responder()
    machine.start_handshake()
    answers = []
    for verb, data in script["steps"]:
        raw = bytes.fromhex(data)
        if machine.handshake_finished:
            done = machine.encrypt(raw) if verb == "write" else machine.decrypt(raw)
        else:
            done = machine.write_message(raw) if verb == "write" else machine.read_message(raw)
        answers.append(bytes(done).hex())
    return {"answers": answers, "hash": machine.get_handshake_hash().hex()}


KINDS = {
    "multiaddr-text": lambda value: _address(Multiaddr(value)),
    "multiaddr-bytes": lambda value: _address(Multiaddr(bytes.fromhex(value))),
    "noise": _noise,
}

for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = {"ok": True, **KINDS[question["kind"]](question["input"])}
    except Exception as error:  # what it refuses is what is asked
        answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
