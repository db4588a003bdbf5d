"""Searches everything that was said, as one types."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from textual.content import Content
from textual.widgets.option_list import Option

from p2pchat_core import limits
from p2pchat_tui.safe_text import Kind, visible
from p2pchat_tui.screens.chooser import Chooser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from p2pchat_core.chat.model import SearchHit

__all__ = ["SearchScreen", "excerpt"]

_BLANKS: Final = str.maketrans("\n\r\t\u2028\u2029", "     ")
_FOUND: Final = "bold underline $text-accent"


class SearchScreen(Chooser):
    """Answers with the id of the chosen message.

    Args:
        ask: called with what is typed; what is found comes back by `show`.
        name_of: what to call a peer.
        date_format: for `time.strftime`.
    """

    TITLE_TEXT = "Search all conversations"
    HINT = "↑↓ choose · Enter goes there · Esc closes"
    PLACEHOLDER = "words that were said"
    WIDE = True

    def __init__(self, ask: Callable[[str], None], name_of: Callable[[str], str]) -> None:
        super().__init__()
        self._ask = ask
        self._name_of = name_of
        self._query = ""
        self.hits: dict[str, SearchHit] = {}

    def typed(self, query: str) -> None:
        """Ask for what was typed; the list stays until the answer is there."""
        self._query = query
        if query.strip():
            self._ask(query)
        else:
            self.show(query, ())

    def show(self, text: str, hits: Sequence[SearchHit]) -> None:
        """List what was found for `text`, unless something else has been typed meanwhile."""
        if text != self._query:
            return
        self.hits = {hit.message.message_id: hit for hit in hits}
        words = "Nothing was said with these words" if text.strip() else "Type a word, or its beginning"
        width = max(20, self.list.scrollable_content_region.width or 60)
        options = [Option(self._entry(hit, width), message_id) for message_id, hit in self.hits.items()]
        self.offer(options, words)
        page = self.query_one("#chooser")
        more = len(hits) >= limits.SCREEN_HITS
        count = f" · the newest {len(hits)}" if more else f" · {len(hits)} found" if hits else ""
        page.border_title = Content(self.TITLE_TEXT + count)

    def failed(self, sentence: str) -> None:
        """Say why nothing could be searched."""
        self.hits = {}
        self.offer((), visible(sentence, Kind.SENTENCE))

    def _entry(self, hit: SearchHit, width: int) -> Content:
        message = hit.message
        moment = time.localtime(message.sent_at)
        when = time.strftime("%Y-%m-%d %H:%M", moment)
        who = "you" if message.outgoing else "they"
        head = Content.assemble(
            (self._name_of(message.peer), "bold $foreground"), (f"  {when}  {who} said", "$text-muted")
        )
        return Content.assemble(
            head.truncate(width, ellipsis=True), "\n", "  ", excerpt(hit).truncate(width - 2, ellipsis=True)
        )


def excerpt(hit: SearchHit) -> Content:
    """Return the excerpt of a hit on one line, safe to draw, with what was found marked by more than colour."""
    text = hit.excerpt.translate(_BLANKS)
    parts: list[tuple[str, str]] = []
    at = 0
    for start, end in hit.spans:
        start, end = max(at, start), max(at, min(end, len(text)))
        parts.append((visible(text[at:start], Kind.SENTENCE), "$foreground"))
        parts.append((visible(text[start:end], Kind.SENTENCE), _FOUND))
        at = end
    parts.append((visible(text[at:], Kind.SENTENCE), "$foreground"))
    return Content.assemble(*(part for part in parts if part[0]))
