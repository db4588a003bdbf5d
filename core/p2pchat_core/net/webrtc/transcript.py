"""What both sides said while a direct connection was made, for people who want to see it."""

from __future__ import annotations

from p2pchat_core.limits import STEP_DETAIL, STEP_DETAIL_CANDIDATES

__all__ = ["Transcript"]

_SECRET = "a=ice-pwd"


class Transcript:
    """The descriptions and candidates of one exchange.

    The text of the peer is given as it came, so whoever shows it must take it for what it is. Passwords are left out.
    """

    def __init__(self, *, dialer: bool) -> None:
        self._dialer = dialer
        self._ours = self._theirs = ""
        self._our_candidates: list[str] = []
        self._their_candidates: list[str] = []

    def our_description(self, sdp: str) -> None:
        """Our offer or answer is on its way."""
        self._ours = sdp

    def their_description(self, sdp: str) -> None:
        """The peer's offer or answer has come."""
        self._theirs = sdp

    def our_candidate(self, text: str) -> None:
        """One of our addresses is on its way."""
        if len(self._our_candidates) < STEP_DETAIL_CANDIDATES:
            self._our_candidates.append(text)

    def their_candidate(self, text: str) -> None:
        """One of the peer's addresses has come."""
        if len(self._their_candidates) < STEP_DETAIL_CANDIDATES:
            self._their_candidates.append(text)

    def exchange(self) -> str:
        """Return a line on the exchange, then the descriptions in the order they were said."""
        first, second = (
            ("Our offer", "The peer's answer") if self._dialer else ("The peer's offer", "Our answer")
        )
        texts = (self._ours, self._theirs) if self._dialer else (self._theirs, self._ours)
        lines = ["we offered, the peer answered" if self._dialer else "the peer offered, we answered"]
        for title, text in zip((first, second), texts, strict=True):
            said = [line for line in text.splitlines() if not line.strip().lower().startswith(_SECRET)]
            lines += [f"{title}:", *said]
        return _bounded(lines)

    def direct(self, local: object, remote: object, pairs: int) -> str:
        """Return a line with the chosen pair, then all candidates."""
        lines = [f"{local} ⇄ {remote}", f"Chosen of {pairs} {'pair' if pairs == 1 else 'pairs'}."]
        for title, candidates in (
            ("Our candidates", self._our_candidates),
            ("The peer's candidates", self._their_candidates),
        ):
            lines += [f"{title}:", *(candidates or ["(none)"])]
        return _bounded(lines)


def _bounded(lines: list[str]) -> str:
    text = "\n".join(lines)
    return text if len(text) <= STEP_DETAIL else text[: STEP_DETAIL - 1] + "…"
