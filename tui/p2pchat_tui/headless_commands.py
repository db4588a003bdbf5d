"""The commands of the JSON lines: what each takes, asks of the service, and answers (docs/headless.md)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from p2pchat_core.chat.model import ExportFormat, Retention
from p2pchat_core.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from p2pchat_core.chat.service import ChatService

__all__ = ["COMMANDS", "Command", "Fields", "Nothing", "fields"]

Fields = dict[str, Any]


class Command(NamedTuple):
    """What a command takes, and what runs it."""

    arguments: type[Any]
    run: Callable[[Any, Any], Awaitable[Fields]]


def fields(value: object) -> Fields:
    """Return a value of the service as a JSON object."""
    result: Fields = msgspec.to_builtins(value)
    return result


class _Address(msgspec.Struct):
    address: str


class _Peer(msgspec.Struct):
    peer: str


class _PeerText(msgspec.Struct):
    peer: str
    text: str


class _History(msgspec.Struct):
    peer: str
    limit: int = 100
    before: str | None = None
    around: str | None = None


class _PeerName(msgspec.Struct):
    peer: str
    name: str


class _PeerNotes(msgspec.Struct):
    peer: str
    notes: str


class _PeerVerified(msgspec.Struct):
    peer: str
    verified: bool


class _Search(msgspec.Struct):
    text: str
    peer: str | None = None
    limit: int = 50


class _Export(msgspec.Struct):
    path: str
    format: ExportFormat = ExportFormat.JSON_LINES
    peer: str | None = None


class _Retention(msgspec.Struct):
    peer: str
    days: int | None = None
    ephemeral: bool = False


class Nothing(msgspec.Struct):
    pass


async def _connect(service: ChatService, command: _Address) -> Fields:
    return fields(await service.connect(command.address))


async def _send_message(service: ChatService, command: _PeerText) -> Fields:
    return {"message_id": await service.send(command.peer, command.text)}


async def _echo(service: ChatService, command: _PeerText) -> Fields:
    return fields(await service.echo(command.peer, command.text))


async def _ping(service: ChatService, command: _Peer) -> Fields:
    return {"rtt_ms": await service.ping(command.peer)}


async def _disconnect(service: ChatService, command: _Peer) -> Fields:
    await service.disconnect(command.peer)
    return {}


async def _status(service: ChatService, _command: Nothing) -> Fields:
    return fields(service.status())


async def _history(service: ChatService, command: _History) -> Fields:
    if command.limit < 1:
        raise CommandError("The limit of a history is at least 1.")
    messages = await service.history(
        command.peer, command.limit, before=command.before, around=command.around
    )
    return {"messages": [fields(message) for message in messages]}


async def _contacts(service: ChatService, _command: Nothing) -> Fields:
    return {"contacts": [fields(contact) for contact in await service.contacts()]}


async def _contact(service: ChatService, command: _Peer) -> Fields:
    return {"contact": fields(await service.contact(command.peer))}


async def _rename(service: ChatService, command: _PeerName) -> Fields:
    await service.rename(command.peer, command.name)
    return {}


async def _annotate(service: ChatService, command: _PeerNotes) -> Fields:
    await service.annotate(command.peer, command.notes)
    return {}


async def _accept(service: ChatService, command: _Peer) -> Fields:
    await service.accept(command.peer)
    return {}


async def _decline(service: ChatService, command: _Peer) -> Fields:
    await service.decline(command.peer)
    return {}


async def _block(service: ChatService, command: _Peer) -> Fields:
    await service.block(command.peer)
    return {}


async def _unblock(service: ChatService, command: _Peer) -> Fields:
    await service.unblock(command.peer)
    return {}


async def _forget(service: ChatService, command: _Peer) -> Fields:
    await service.forget(command.peer)
    return {}


async def _verification_phrase(service: ChatService, command: _Peer) -> Fields:
    return {"words": await service.verification_phrase(command.peer)}


async def _set_verified(service: ChatService, command: _PeerVerified) -> Fields:
    await service.set_verified(command.peer, command.verified)
    return {}


async def _search(service: ChatService, command: _Search) -> Fields:
    hits = await service.search(command.text, peer=command.peer, limit=command.limit)
    return {"hits": [fields(hit) for hit in hits]}


async def _export(service: ChatService, command: _Export) -> Fields:
    count = await service.export(Path(command.path), command.format, peer=command.peer)
    return {"messages": count}


async def _set_retention(service: ChatService, command: _Retention) -> Fields:
    await service.set_retention(command.peer, Retention(command.days, command.ephemeral))
    return {}


COMMANDS: Final[Mapping[str, Command]] = {
    "connect": Command(_Address, _connect),
    "send": Command(_PeerText, _send_message),
    "echo": Command(_PeerText, _echo),
    "ping": Command(_Peer, _ping),
    "disconnect": Command(_Peer, _disconnect),
    "status": Command(Nothing, _status),
    "history": Command(_History, _history),
    "contacts": Command(Nothing, _contacts),
    "contact": Command(_Peer, _contact),
    "rename": Command(_PeerName, _rename),
    "annotate": Command(_PeerNotes, _annotate),
    "accept": Command(_Peer, _accept),
    "decline": Command(_Peer, _decline),
    "block": Command(_Peer, _block),
    "unblock": Command(_Peer, _unblock),
    "verification_phrase": Command(_Peer, _verification_phrase),
    "set_verified": Command(_PeerVerified, _set_verified),
    "search": Command(_Search, _search),
    "export": Command(_Export, _export),
    "set_retention": Command(_Retention, _set_retention),
    "forget": Command(_Peer, _forget),
}
