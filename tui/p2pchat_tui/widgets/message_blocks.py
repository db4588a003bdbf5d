"""Where each message of a conversation stands, without drawing more of them than are looked at.

Messages are drawn in blocks. A block that has not been drawn yet counts with an estimated height; when it is drawn and
turns out to be taller or shorter, the rows below it move, and the view moves with the message it showed.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from textual.strip import Strip

    from p2pchat_tui.conversation import Conversation, Delivery, Message
    from p2pchat_tui.widgets.message_rows import Painter

__all__ = ["Anchor", "MessageBlocks"]

_BLOCK: Final = 64
_KEPT: Final = 24  # blocks whose rows are kept
_GUESS: Final = 2.0  # rows of a message, before any was drawn


class Anchor(NamedTuple):
    """A row of a message, wherever it stands."""

    serial: int
    row: int


@dataclass(slots=True)
class _Drawn:
    """One message as it was drawn: with this state, and after this other message."""

    state: Delivery | None
    before: Message | None
    strips: list[Strip]


@dataclass(slots=True)
class _Block:
    """The messages with serials from `first` to before `end`; `height` is theirs when all of them were drawn."""

    first: int = 0
    end: int = 0
    height: int = 0
    drawn: dict[int, _Drawn] = field(default_factory=dict)
    tops: list[int] = field(default_factory=list)


class MessageBlocks:
    """The rows of one conversation at one width."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self._blocks: dict[int, _Block] = {}
        self._numbers: list[int] = []
        self._tops: list[int] = [0]
        self._rows_each = 0.0

    @property
    def height(self) -> int:
        """All rows, those not drawn yet estimated."""
        return self._tops[-1]

    @property
    def drawn(self) -> int:
        """How many messages are kept drawn."""
        return sum(len(block.drawn) for block in self._blocks.values())

    def forget(self) -> None:
        """What was drawn is of no use: the width or the colours changed."""
        self._blocks.clear()
        self._rows_each = 0.0

    def look(self, painter: Painter, anchor: Anchor | None, height: int) -> int:
        """Draw every block that a view of `height` rows touches, and return its first row.

        Args:
            anchor: what is at the top of the view; None for a view of the end.
        """
        top = 0
        for _ in range(8):  # a block that turns out to be short lets another one into view
            self._sum()
            last = max(0, self.height - height)
            top = last if anchor is None else min(last, max(0, self._row_of(anchor)))
            low = max(0, bisect.bisect_right(self._tops, top) - 1)
            high = bisect.bisect_left(self._tops, top + height)
            todo = [number for number in self._numbers[low:high] if not self._is_current(number)]
            if not todo:
                break
            for number in todo:
                self._draw(painter, number)
        self._drop_far(top)
        return top

    def anchor(self, row: int) -> Anchor:
        """Return what stands at `row`."""
        index = min(bisect.bisect_right(self._tops, row), len(self._tops) - 1) - 1
        if index < 0:
            return Anchor(0, 0)
        number, within = self._numbers[index], row - self._tops[index]
        block = self._blocks.get(number)
        if block is None or not block.tops:
            start, end = self._range(number)
            height = max(1, self._tops[index + 1] - self._tops[index])
            return Anchor(min(end - 1, start + within * (end - start) // height), 0)
        at = bisect.bisect_right(block.tops, within) - 1
        return Anchor(block.first + at, within - block.tops[at])

    def strips(self, row: int) -> tuple[Anchor, list[Strip]] | None:
        """Return what stands at `row` and all rows of that message, if it has been drawn."""
        index = bisect.bisect_right(self._tops, row) - 1
        if not 0 <= index < len(self._numbers):
            return None
        block, within = self._blocks.get(self._numbers[index]), row - self._tops[index]
        if block is None or not block.drawn or within >= block.height:
            return None
        anchor = self.anchor(row)
        return anchor, block.drawn[anchor.serial].strips

    def _sum(self) -> None:
        """Number the blocks and add their heights up."""
        talk = self.conversation
        first, last = talk.first // _BLOCK, (talk.end - 1) // _BLOCK
        self._numbers = list(range(first, last + 1)) if talk.messages else []
        top, self._tops = 0, [0]
        for number in self._numbers:
            start, end = self._range(number)
            block = self._blocks.get(number)
            if block is not None and (block.first, block.end) == (start, end):
                top += block.height
            else:
                top += max(end - start, round((end - start) * (self._rows_each or _GUESS)))
            self._tops.append(top)

    def _range(self, number: int) -> tuple[int, int]:
        talk = self.conversation
        return max(number * _BLOCK, talk.first), min((number + 1) * _BLOCK, talk.end)

    def _is_current(self, number: int) -> bool:
        """Tell whether what is drawn of a block is what it would look like now."""
        block = self._blocks.get(number)
        if block is None or (block.first, block.end) != self._range(number):
            return False
        if len(block.drawn) != block.end - block.first:
            return False
        return all(self._is_fresh(serial, drawn) for serial, drawn in block.drawn.items())

    def _is_fresh(self, serial: int, drawn: _Drawn | None) -> bool:
        talk = self.conversation
        message = talk.message(serial)
        if drawn is None or message is None:
            return False
        # What stands before a message decides whether a name or a day is drawn above it.
        return drawn.state is message.state and drawn.before is talk.message(serial - 1)

    def _draw(self, painter: Painter, number: int) -> None:
        block = self._blocks.setdefault(number, _Block())
        start, end = self._range(number)
        old, height = block.drawn, 0
        block.first, block.end, block.drawn, block.tops = start, end, {}, []
        for serial in range(start, end):
            drawn = old.get(serial)
            if drawn is None or not self._is_fresh(serial, drawn):
                message, before = self.conversation.message(serial), self.conversation.message(serial - 1)
                assert message is not None
                drawn = _Drawn(message.state, before, painter.draw(message, before, serial))
            block.drawn[serial] = drawn
            block.tops.append(height)
            height += len(drawn.strips)
        block.height = height
        if not self._rows_each:
            self._rows_each = max(1.0, height / (end - start))

    def _row_of(self, anchor: Anchor) -> int:
        """Return where an anchor stands now."""
        if not self._numbers:
            return 0
        number = min(max(anchor.serial // _BLOCK, self._numbers[0]), self._numbers[-1])
        index = number - self._numbers[0]
        block = self._blocks.get(number)
        if block is not None and block.tops and block.first <= anchor.serial < block.end:
            return self._tops[index] + block.tops[anchor.serial - block.first] + anchor.row
        start, end = self._range(number)
        each = (self._tops[index + 1] - self._tops[index]) / (end - start)
        return self._tops[index] + round(max(0, anchor.serial - start) * each)

    def _drop_far(self, top: int) -> None:
        """Keep the rows around the view; of other blocks the height is enough."""
        if len(self._blocks) <= _KEPT or not self._numbers:
            return
        middle = self._numbers[min(len(self._numbers), bisect.bisect_right(self._tops, top)) - 1]
        for number, block in self._blocks.items():
            if abs(number - middle) > _KEPT // 2:
                block.drawn.clear()
