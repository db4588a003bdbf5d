"""Whom the service knows, and what they are called on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat_core.chat.model import Standing
from p2pchat_tui.log_lines import short_peer
from p2pchat_tui.safe_text import Kind, visible

if TYPE_CHECKING:
    from p2pchat_core.chat.model import Contact, Retention

__all__ = ["Roster", "badges", "name_of", "retention_words"]


class Roster:
    """Everybody, by peer id: contacts, strangers that ask, and who is blocked. The service decides which."""

    def __init__(self) -> None:
        self.contacts: dict[str, Contact] = {}

    def put(self, contact: Contact) -> Contact | None:
        """Take what the service says into account, and return what it said before."""
        before = self.contacts.get(contact.peer)
        self.contacts[contact.peer] = contact
        return before

    def get(self, peer: str) -> Contact | None:
        """Return what is known of `peer`."""
        return self.contacts.get(peer)

    def drop(self, peer: str) -> None:
        """Forget a peer."""
        self.contacts.pop(peer, None)

    def with_standing(self, standing: Standing) -> list[Contact]:
        """Return everybody of this standing, by name."""
        found = [contact for contact in self.contacts.values() if contact.standing is standing]
        return sorted(
            found, key=lambda contact: (not contact.name, name_of(contact).casefold(), contact.peer)
        )

    def name_of(self, peer: str) -> str:
        """Return what to call a peer, safe to draw."""
        contact = self.contacts.get(peer)
        return name_of(contact) if contact is not None else short_peer(peer)


def name_of(contact: Contact) -> str:
    """Return what to call somebody, safe to draw: the user's own name for them, or what they say with a tilde.

    What somebody says they are called proves nothing, so the end of the peer id always stands behind it.
    """
    if name := visible(contact.name, Kind.NAME):
        return name
    claimed = visible(contact.calls_itself, Kind.NAME)
    return f"~{claimed} {short_peer(contact.peer)}" if claimed else short_peer(contact.peer)


def retention_words(retention: Retention) -> str:
    """Say how long a conversation is kept; "" if that is as for all others."""
    if retention.ephemeral:
        return "nothing kept"
    if retention.days is None:
        return ""
    return f"kept {retention.days} day{'s' if retention.days != 1 else ''}"


def badges(contact: Contact | None) -> list[tuple[str, str]]:
    """Return the words (and style of each) that stand beside a contact's name wherever it matters."""
    if contact is None:
        return []
    found: list[tuple[str, str]] = []
    if contact.impersonates:
        claimed = visible(contact.impersonates, Kind.NAME)
        found.append((f"⚠ NOT the {claimed} you know", "bold $text-error"))
    if contact.standing is Standing.BLOCKED:
        found.append(("⊘ blocked", "$text-error"))
    elif contact.verified_at is not None:
        found.append(("✓ verified", "$text-success"))
    if kept := retention_words(contact.retention):
        found.append((kept, "$text-muted"))
    return found
