"""Self-describing encodings: varints, multibase, multihash and multiaddr (docs/wire.md section 1)."""

from __future__ import annotations
