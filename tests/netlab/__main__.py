"""``python -m tests.netlab [pytest arguments]``: run the suite, or say in one line why it cannot run here."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from tests.netlab.namespaces import why_not

_ENTER = ("unshare", "--user", "--map-root-user", "--net", "--mount")
_INSIDE = "P2PCHAT_NETLAB_INSIDE"


def main() -> int:
    """Run the suite in this process, or in a user namespace of its own if we are not root."""
    reason = why_not()
    if reason is not None and os.geteuid() != 0 and _INSIDE not in os.environ and shutil.which(_ENTER[0]):
        os.environ[_INSIDE] = "1"
        # `ip netns` keeps its names under /run, which must be ours.
        shell = 'mount -t tmpfs lab /run 2>/dev/null; exec "$@"'
        again = [sys.executable, "-m", "tests.netlab", *sys.argv[1:]]
        os.execvp(_ENTER[0], [*_ENTER, "sh", "-c", shell, "sh", *again])
    if reason is not None:
        print(f"network laboratory: SKIPPED, {reason}")
        return 0
    return int(pytest.main(["-m", "netlab", "tests/netlab", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
