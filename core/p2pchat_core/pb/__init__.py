"""The generated messages, and the one condition under which they may be used."""

from __future__ import annotations

from google.protobuf.internal import api_implementation

from p2pchat_core.errors import ConfigError

__all__: list[str] = []

if api_implementation.Type() == "python":
    # How deep it nests is bounded by nothing but Python's stack (CVE-2025-4565). It is chosen silently where the
    # compiled part is missing; then nothing that parses is loaded.
    raise ConfigError(
        "The protobuf package runs here without its compiled part, which is not safe with what strangers send. "
        "Unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install the protobuf wheel made for this machine."
    )
