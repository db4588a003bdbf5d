"""The command ``p2pchat``: reads the options and starts the face that was asked for."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from p2pchat_tui.options import options_of, read_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run p2pchat and return its exit code: 0, 1 when it could not start, 2 for a mistake on the command line."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["key"]:
        from p2pchat_core.errors import ConfigError

        try:
            from p2pchat_tui import key_command
        except ConfigError as error:  # see p2pchat_core.pb
            print(f"p2pchat: {error}", file=sys.stderr)  # noqa: T201
            return 2
        return key_command.main(argv[1:])
    arguments = read_arguments(argv)
    if arguments.config_action:
        from p2pchat_tui import config_command

        return config_command.run(arguments)
    options = options_of(arguments)
    # Only now: --version, --help and mistakes answer without loading any of this.
    from p2pchat_core.errors import ConfigError, IdentityError
    from p2pchat_tui.logs import configure_logging
    from p2pchat_tui.passphrase import unlock

    _dump_no_core()
    try:
        import p2pchat_core.pb  # noqa: F401  what is loaded later needs it, and it may refuse

        configure_logging(options)
        key = unlock(options.data_dir / "identity.key", options.passphrase_fd)
    except (ConfigError, IdentityError) as error:
        print(f"p2pchat: {error}", file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, ConfigError) else 1
    if key is not None:
        options = replace(options, identity=key)
    if options.headless:
        from p2pchat_tui import headless

        return headless.run(options)
    reason = "" if options.plain else no_screen()
    if options.plain or reason:
        from p2pchat_tui import plain

        return plain.run(options, reason)
    from p2pchat_tui import app

    return app.run(options)


def no_screen() -> str:
    """Return one sentence about why this terminal cannot show the screen, or nothing if it can."""
    if os.environ.get("TERM") in ("dumb", "unknown"):
        return f"The terminal cannot show a screen (TERM={os.environ['TERM']}), so this is the line mode."
    # The screen is drawn on standard error, so that must lead there too.
    for stream, name in ((sys.stdin, "input"), (sys.stdout, "output"), (sys.stderr, "error")):
        if stream is None or not stream.isatty():
            return f"Standard {name} is no terminal, so this is the line mode."
    return ""


def _dump_no_core() -> None:
    """Keep the private key and the conversations out of core files."""
    import contextlib
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
