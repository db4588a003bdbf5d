"""Direct connections over WebRTC.

Importing this package, or `config` in it, loads no WebRTC library; `transport` does.
"""

from __future__ import annotations
