"""Lines in and out of plain descriptors."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.limits import HEADLESS_OUTPUT_QUEUE
from p2pchat_tui.json_lines import LineSplitter, LineWriter, read_chunks

if TYPE_CHECKING:
    from pathlib import Path


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=12)), st.integers(0, 10))
def test_lines_do_not_depend_on_how_the_bytes_are_cut(pieces: list[bytes], limit: int) -> None:
    splitter = LineSplitter(limit)
    found: list[bytes | None] = []
    for piece in pieces:
        found += splitter.feed(piece)
    found += splitter.finish()
    *ended, rest = b"".join(pieces).split(b"\n")
    expected = ended + ([rest] if rest else [])
    assert found == [line if len(line) <= limit else None for line in expected]


def test_a_line_that_never_ends_takes_no_memory() -> None:
    splitter = LineSplitter(100)
    for _ in range(1000):
        assert splitter.feed(b"x" * 100) == []
        assert sum(map(len, splitter._parts)) <= 100
    assert splitter.feed(b"\nnext\n") == [None, b"next"]


async def test_a_pipe_is_read_to_its_end() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"one\ntwo\n")
    chunks = read_chunks(ours)
    assert await anext(chunks) == b"one\ntwo\n"
    os.write(theirs, b"three")
    assert await anext(chunks) == b"three"
    os.close(theirs)
    assert [chunk async for chunk in chunks] == []
    os.close(ours)


async def test_a_file_can_be_read_too(tmp_path: Path) -> None:
    (tmp_path / "commands").write_bytes(b"one\n")
    descriptor = os.open(tmp_path / "commands", os.O_RDONLY)
    assert [chunk async for chunk in read_chunks(descriptor)] == [b"one\n"]
    os.close(descriptor)


async def test_lines_are_written_in_order() -> None:
    ours, theirs = os.pipe()
    broken = asyncio.Event()
    writer = LineWriter(theirs, broken.set)
    for number in range(10):
        await writer.write(f"{number}\n".encode())
    await writer.close(20)
    assert os.read(ours, 1000) == b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"
    assert not broken.is_set()
    os.close(ours)
    os.close(theirs)


async def test_a_reader_that_does_not_read_makes_writers_wait_and_nothing_else() -> None:
    ours, theirs = os.pipe()
    writer = LineWriter(theirs, lambda: None)
    line = b"x" * 65_535 + b"\n"
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            await writer.write(line)
            written += 1

    task = asyncio.create_task(write())
    for _ in range(100):
        await asyncio.sleep(0)
    assert HEADLESS_OUTPUT_QUEUE <= written <= HEADLESS_OUTPUT_QUEUE + 2
    task.cancel()
    await asyncio.wait([task])
    await writer.close(0.01)
    os.close(ours)


async def test_a_reader_that_went_away_is_noticed_and_lines_are_dropped() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    broken = asyncio.Event()
    writer = LineWriter(theirs, broken.set)
    for _ in range(2 * HEADLESS_OUTPUT_QUEUE):
        await writer.write(b"hello\n")
    async with asyncio.timeout(20):
        await broken.wait()
    await writer.close(20)
    os.close(theirs)
