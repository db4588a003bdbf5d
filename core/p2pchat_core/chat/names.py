"""When two names look alike to a reader, although they are not the same text."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["skeleton"]

# What survives compatibility folding and still looks like a Latin letter: the usual tricks, not all there are.
_PAIRS: Final = """
аa вb еe ёe кk мm нh оo рp сc тt уy хx іl јj ѕs һh ԁd ԛq ԝw ѵv ӏl ьb
αa βb γy εe ιl κk νv οo ρp τt υu χx ωw ϲc
0o 1l 3e 5s |l !l il ıl łl øo đd ʟl ɪl ɡg
"""
_LOOKALIKES: Final = {ord(pair[0]): pair[1] for pair in _PAIRS.split()}


def skeleton(name: str) -> str:
    """Return what is left of `name` when everything that a reader might overlook is taken away."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    plain = folded.translate(_LOOKALIKES)
    return "".join(char for char in plain if unicodedata.category(char)[0] in "LN")
