"""Self-describing encodings: varints, multibase, multihash and multiaddr (PROTOCOL section 1)."""

from __future__ import annotations
