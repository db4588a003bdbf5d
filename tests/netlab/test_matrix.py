"""Every pair of NAT kinds: direct where theory says so, through the relay otherwise; talking at once in any case."""

from __future__ import annotations

from functools import partial
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import pytest

from tests.interop.peers import NODE
from tests.netlab.lab import laboratory_aside
from tests.netlab.matrix import expected_path, meet, one_meeting, part
from tests.netlab.nat import NatKind, theory
from tests.netlab.peers import world
from tests.netlab.side_by_side import side_by_side

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netlab.matrix import Meeting

pytestmark = [pytest.mark.netlab, pytest.mark.timeout(240)]

PAIRS = list(combinations_with_replacement(NatKind, 2))
# A pair that theory lets through is through within a second; what is not after this will not be.
NEVER = 3.0
FIRST_MESSAGE = 3.0
# js has nothing to say before the connection is direct.
FIRST_MESSAGE_JS = 10.0
JS_PAIRS = [
    ("ours/js", NatKind.PORT, NatKind.PORT),
    ("js/ours", NatKind.PORT, NatKind.PORT),
    ("ours/js", NatKind.SYMMETRIC, NatKind.FULL),
    ("js/ours", NatKind.ADDRESS, NatKind.SYMMETRIC),
    ("ours/js", NatKind.SYMMETRIC, NatKind.SYMMETRIC),
]


MEETINGS = [("ours/ours", *pair) for pair in PAIRS] + JS_PAIRS
AT_ONCE = 4


@pytest.fixture(scope="module")
def meetings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Meeting | Exception]:
    """How those that were chosen met, several at a time."""
    jobs = {}
    for item in request.session.items:
        if getattr(item, "originalname", "") == "test_pair" and not item.get_closest_marker("skip"):
            pair = item.callspec.params
            patience = 20 if theory(pair["one"], pair["other"]) else NEVER
            directory = tmp_path_factory.mktemp("pair")
            jobs[str(pair)] = partial(one_meeting, tmp_path=directory, patience=patience, **pair)
    return side_by_side(jobs, AT_ONCE)


@pytest.mark.parametrize(("who", "one", "other"), MEETINGS, ids=str)
def test_pair(
    who: str,
    one: NatKind,
    other: NatKind,
    request: pytest.FixtureRequest,
    meetings: dict[str, Meeting | Exception],
) -> None:
    if "js" in who and not NODE.exists():
        pytest.skip("needs the js-libp2p packages (make interop)")
    meeting = meetings[str(request.node.callspec.params)]
    if isinstance(meeting, Exception):
        raise meeting
    assert meeting.path == expected_path(who, one, other), meeting
    assert meeting.first_message <= (FIRST_MESSAGE_JS if "js" in who else FIRST_MESSAGE)


async def test_who_only_dials_learns_its_address_too(tmp_path: Path) -> None:
    async with (
        laboratory_aside(NatKind.PORT, NatKind.PORT) as lab,
        world(lab, tmp_path, reserves=False) as there,
    ):
        assert (await meet(there)).path == "direct"


async def test_cones_again_and_again(tmp_path: Path) -> None:
    async with laboratory_aside(NatKind.PORT, NatKind.PORT) as lab, world(lab, tmp_path) as there:
        for _ in range(5):
            meeting = await meet(there)
            assert meeting.path == "direct"
            assert meeting.first_message <= FIRST_MESSAGE
            await part(there)
