"""How the user wants to be shown and told things: what a face needs of the settings, and nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DESKTOP", "TIMESTAMPS", "Preferences", "preferences_of"]

TIMESTAMPS: Final = {"off": "", "short": "%H:%M", "long": "%Y-%m-%d %H:%M:%S"}
"""Names of the settings, and what `time.strftime` makes of them."""
DESKTOP: Final = ("off", "osc9", "osc777")
"""Ways to ask a terminal for a desktop notification; no terminal can be asked whether it understands one."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """The settings that concern the screen and the line mode.

    Attributes:
        theme: `system`, `dark`, `light`, `high-contrast`, or a theme of the user's.
        reduced_motion: nothing moves or blinks.
        timestamps: a key of `TIMESTAMPS`.
        bell: ring the terminal's bell when somebody says something that is not on the screen.
        desktop: one of `DESKTOP`.
        hide_text: a notification says that there is a message, and not what it says.
        themes: the folder of the user's own themes.
        keys: action name -> key, for those that are not the usual ones.
    """

    theme: str = "system"
    reduced_motion: bool = False
    timestamps: str = "short"
    bell: bool = False
    desktop: str = "off"
    hide_text: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)
    themes: Path = field(default=Path("themes"), compare=False)

    @property
    def time_format(self) -> str:
        """What `time.strftime` needs for the time of a line; empty for no time at all."""
        return TIMESTAMPS[self.timestamps]

    @property
    def clock_format(self) -> str:
        """The same for a line that stands below its day."""
        return self.time_format.rpartition(" ")[2]


def preferences_of(app: object) -> Preferences:
    """Return the preferences of a running program, or the usual ones for any other Textual app."""
    preferences = getattr(app, "preferences", None)
    return preferences if isinstance(preferences, Preferences) else Preferences()
