"""The history as a file for people (text) or programs (JSON lines): written aside, then put in place whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import time
from typing import IO, TYPE_CHECKING

from p2pchat_core.chat.model import ExportFormat
from p2pchat_core.errors import StoreError
from p2pchat_core.limits import HISTORY_PAGE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from p2pchat_core.chat.model import StoredMessage
    from p2pchat_core.chat.store import Store

__all__ = ["export"]


async def export(
    store: Store, path: Path, form: ExportFormat, *, peer: str | None, names: Mapping[str, str]
) -> int:
    """Write the messages with `peer`, or all, to a new file and return how many there were.

    Args:
        names: what the user calls whom, for the text.

    Raises:
        StoreError: the file is there already, or cannot be written.
    """
    try:
        # The name is taken first, by an empty file, so that nothing can come there in the meantime and be replaced.
        (await asyncio.to_thread(_create, path)).close()
        try:
            return await _write_aside(store, path, form, peer, names)
        except BaseException:
            await asyncio.to_thread(_remove, path)
            raise
    except FileExistsError:
        raise StoreError(f"{path} exists already; choose another name.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"The history could not be written to {path}: {reason}.") from error


async def _write_aside(
    store: Store, path: Path, form: ExportFormat, peer: str | None, names: Mapping[str, str]
) -> int:
    aside = path.with_name(f".p2pchat-export-{secrets.token_hex(8)}")
    file = await asyncio.to_thread(_create, aside)
    try:
        with file:
            count = await _write(store, file, form, peer, names)
        await asyncio.to_thread(os.replace, aside, path)
    except BaseException:
        await asyncio.to_thread(_remove, aside)
        raise
    return count


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _create(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


async def _write(
    store: Store, file: IO[bytes], form: ExportFormat, peer: str | None, names: Mapping[str, str]
) -> int:
    count, position = 0, 0
    while True:
        messages, position = await store.following(peer, position, HISTORY_PAGE)
        await asyncio.to_thread(_write_page, file, form, messages, names)
        if not messages:
            return count
        count += len(messages)


def _write_page(
    file: IO[bytes], form: ExportFormat, messages: list[StoredMessage], names: Mapping[str, str]
) -> None:
    line = _json_line if form is ExportFormat.JSON_LINES else _text_line
    for message in messages:
        file.write(line(message, names).encode() + b"\n")
    if not messages:
        file.flush()
        os.fsync(file.fileno())


def _json_line(message: StoredMessage, _names: Mapping[str, str]) -> str:
    return json.dumps(
        {
            "message_id": message.message_id,
            "peer": message.peer,
            "text": message.text,
            "outgoing": message.outgoing,
            "sent_at": message.sent_at,
            "state": str(message.state),
            "sequence": message.sequence,
        },
        ensure_ascii=False,
    )


def _text_line(message: StoredMessage, names: Mapping[str, str]) -> str:
    """Return a message with time and names; further lines of it are indented, so none can pass for another message."""
    when = time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(message.sent_at))
    who = names.get(message.peer) or message.peer
    direction = f"to {_plain(who)}" if message.outgoing else f"from {_plain(who)}"
    return f"{when} {direction}: " + "\n    ".join(_plain(line) for line in message.text.splitlines())


def _plain(text: str) -> str:
    """Return `text` without what would steer the terminal in which somebody looks at the file."""
    return "".join(char if char.isprintable() or char in "\t\u200d" else "�" for char in text)
