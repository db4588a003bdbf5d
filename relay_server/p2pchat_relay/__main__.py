"""`python -m p2pchat_relay` is the `p2pchat-relay` command."""

import sys

from p2pchat_relay.cli import main

if __name__ == "__main__":
    sys.exit(main())
