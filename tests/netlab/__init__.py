"""A network laboratory on one machine: hosts, NATs and an internet made of Linux network namespaces.

Everything our programs meet out there, made on purpose: every kind of NAT, blocked UDP, delay, loss, reordering,
small MTUs, cut cables and packets that vanish. Needs Linux, iproute2, nftables, conntrack, and root or the right to
make user namespaces. ``python -m tests.netlab`` runs the tests, ``python -m tests.netlab.report`` prints the tables.
"""
