"""The tests of this repository by name, for tables that name them."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

__all__ = ["named_tests"]

_TESTS: Final = Path(__file__).resolve().parents[1]


@functools.cache
def named_tests(pattern: str = "**/test_*.py") -> frozenset[str]:
    """Return the names of the tests in the files that fit `pattern`, below the folder of tests."""
    return frozenset(
        name
        for path in _TESTS.glob(pattern)
        for name in re.findall(
            r"^\s*(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    )
