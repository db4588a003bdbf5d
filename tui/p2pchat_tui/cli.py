"""The command ``p2pchat``: reads the options and starts the face that was asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from p2pchat_tui.options import parse_options

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run p2pchat and return its exit code: 0, 1 when it could not start, 2 for a mistake on the command line."""
    options = parse_options(sys.argv[1:] if argv is None else argv)
    # Only now: --version, --help and mistakes answer without loading any of this.
    from p2pchat_core.errors import ConfigError
    from p2pchat_tui.logs import configure_logging

    _dump_no_core()
    try:
        configure_logging(options)
    except ConfigError as error:
        print(f"p2pchat: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if options.headless:
        from p2pchat_tui import headless

        return headless.run(options)
    from p2pchat_tui import app

    return app.run(options)


def _dump_no_core() -> None:
    """Keep the private key and the conversations out of core files."""
    import contextlib
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
