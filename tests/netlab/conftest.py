"""Where there can be no laboratory its tests are skipped, with the reason."""

from __future__ import annotations

from functools import cache

import pytest

from tests.netlab.namespaces import why_not

_reason = cache(why_not)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs namespaces where there are none."""
    if item.get_closest_marker("netlab") is not None and (reason := _reason()) is not None:
        pytest.skip(f"no network laboratory: {reason}")
