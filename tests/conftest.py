"""What holds for every test: neither the settings nor the clipboard of whoever runs them are touched."""

from __future__ import annotations

import os

for _name in [name for name in os.environ if name.startswith("P2PCHAT_")]:
    del os.environ[_name]
for _name in ("WAYLAND_DISPLAY", "DISPLAY", "TMUX", "STY", "NO_COLOR", "COLORFGBG"):
    os.environ.pop(_name, None)
os.environ["P2PCHAT_CONFIG"] = os.devnull  # processes started by tests inherit it
