"""Regenerate the `*_pb2` modules from the `.proto` files beside this script (development only).

Needs grpcio-tools. proto2 is used throughout because presence matters on this wire: `RESERVE`, `SDP_OFFER` and `FIN`
are zero and must still be written.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Write the generated modules and return protoc's exit code."""
    from grpc_tools import protoc  # type: ignore[import-untyped]

    here = Path(__file__).parent
    protos = sorted(path.name for path in here.glob("*.proto"))
    return int(protoc.main(["protoc", f"-I{here}", f"--python_out={here}", f"--pyi_out={here}", *protos]))


if __name__ == "__main__":
    sys.exit(main())
