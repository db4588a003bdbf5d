"""The phrase two people compare, over another channel, to know that nobody stands between them.

The phrase has two halves of four words, one for each identity, the smaller PeerId first, so both sides see the same.
Each half is scrypt of that PeerId (which is, or commits to, the public key), as 44 bits. Halves rather than one hash of
both: somebody in between uses two identities of their own, one towards each side. Were all words made of both, any two
of them that happen to agree would do, and those are found with the square root of the work. So each half must be met
by itself: 2^44 tries of 0.1 s and 32 MiB each, some fifty thousand years of one processor core, for each of the two.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from p2pchat_core.chat.word_list import WORDS
from p2pchat_core.limits import PHRASE_COST

if TYPE_CHECKING:
    from p2pchat_core.identity.peer_id import PeerId

__all__ = ["verification_phrase"]

_DOMAIN: Final = b"p2pchat verification phrase 1"
_WORDS_EACH: Final = 4
_BITS: Final = 11
assert len(WORDS) == 1 << _BITS


def verification_phrase(ours: PeerId, theirs: PeerId) -> tuple[str, ...]:
    """Return the words that both sides see. Takes a good part of a second of processor time; not for an event loop."""
    first, second = sorted((ours.to_bytes(), theirs.to_bytes()))
    return _half(first) + _half(second)


@functools.lru_cache(maxsize=64)
def _half(identity: bytes) -> tuple[str, ...]:
    digest = Scrypt(salt=_DOMAIN, length=8, n=PHRASE_COST, r=8, p=1).derive(identity)
    number = int.from_bytes(digest)
    return tuple(WORDS[number >> _BITS * place & (1 << _BITS) - 1] for place in range(_WORDS_EACH))
