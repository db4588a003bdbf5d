"""The laboratory: an internet, and sites on it, each a host behind a NAT box.

::

    host 10.77.1.2 ──cable── 10.77.1.1 box 198.51.100.2 ──┐
    host 10.77.2.2 ──cable── 10.77.2.1 box 198.51.100.3 ──┤ bridge in "net", which is 198.51.100.10 and .11
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.netlab import cable
from tests.netlab.cable import Profile
from tests.netlab.namespaces import LabError, Namespace, run, start_reaper
from tests.netlab.nat import NatKind, nat_rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

__all__ = ["PUBLIC", "SECOND_PUBLIC", "Lab", "Site", "laboratory", "laboratory_aside"]

_NET: Final = "198.51.100"  # for documentation only (RFC 5737), so nobody's
PUBLIC: Final = f"{_NET}.10"
SECOND_PUBLIC: Final = f"{_NET}.11"
_NOBODY: Final = f"{_NET}.254"  # the rest of the internet: a gateway that swallows everything
_NOWHERE: Final = (
    f"neigh replace {_NOBODY} lladdr 02:00:00:00:00:fe nud permanent dev {{dev}}",
    f"route replace default via {_NOBODY} dev {{dev}}",
)


class Site:
    """A host and the NAT box it is behind.

    Attributes:
        host: the namespace our programs run in; its interface is ``eth0``.
        box: the namespace of the NAT, with ``lan`` and ``wan``.
        address: of the host, inside.
        outside: of the box, on the internet.
    """

    def __init__(self, number: int, kind: NatKind, net: Namespace, cable_: bool) -> None:
        self.address = f"10.77.{number}.2"
        self._gateway = f"10.77.{number}.1"
        self._lan = f"10.77.{number}.0/24"
        self.outside = f"{_NET}.{number + 1}"
        self.kind = kind
        self._number = number
        self._cable: subprocess.Popen[str] | None = None
        self._namespaces: list[Namespace] = []
        try:
            self.host = self._namespace("host")
            self.box = self._namespace("box")
            self._connect(net, cable_)
            self.set_nat(kind)
        except BaseException:
            self.close()
            raise

    def _namespace(self, label: str) -> Namespace:
        made = Namespace(f"{label}{self._number}")
        self._namespaces.append(made)
        return made

    def _connect(self, net: Namespace, cable_: bool) -> None:
        port = f"port{self._number}"
        run(
            "ip",
            "link",
            "add",
            "wan",
            "netns",
            self.box.name,
            "type",
            "veth",
            "peer",
            port,
            "netns",
            net.name,
        )
        net.ip(f"link set {port} master internet up")
        if cable_:
            self._lay_cable()
        else:
            peer = ("peer", "eth0", "netns", self.host.name)
            run("ip", "link", "add", "lan", "netns", self.box.name, "type", "veth", *peer)
        self.box.ip(
            f"addr add {self.outside}/24 dev wan",
            "link set wan up",
            f"addr add {self._gateway}/24 dev lan",
            "link set lan up",
            *(line.format(dev="wan") for line in _NOWHERE),
        )
        self.box.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        self.plug()

    def _lay_cable(self) -> None:
        argv = [sys.executable, cable.__file__, self.box.name, "lan", self.host.name, "eth0"]
        pipe = subprocess.PIPE
        self._cable = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)
        assert self._cable.stdout is not None
        if self._cable.stdout.readline() != "ready\n":
            raise LabError("the cable could not be laid")

    # --- the box ----------------------------------------------------------------------------------------------------

    def set_nat(self, kind: NatKind, *, ports: tuple[int, int] | None = None) -> None:
        """Become this kind of NAT and forget everything about UDP. TCP connections live on."""
        self.kind = kind
        self.box.nft(nat_rules(kind, self.address, ports=ports))
        self.forget()

    def forget(self, *, tcp: bool = False) -> None:
        """Lose what is known of UDP flows, as a NAT that ran out of memory, and with `tcp` of everything."""
        with contextlib.suppress(LabError):  # there was none
            self.box.run("conntrack", "-F" if tcp else "-D", *(() if tcp else ("-p", "udp")))

    def rebind(self) -> None:
        """Give every UDP flow another port on the outside."""
        self.set_nat(self.kind, ports=(30_000 + 1000 * self._number, 30_999 + 1000 * self._number))

    def move(self) -> None:
        """Get another address on the internet, as a line does that is dialled anew. TCP connections are stuck."""
        before, self.outside = self.outside, f"{_NET}.{100 + self._number}"
        self.box.ip(
            f"addr del {before}/24 dev wan",
            f"addr add {self.outside}/24 dev wan",
            *(line.format(dev="wan") for line in _NOWHERE),
        )
        self.forget(tcp=True)

    def swallow(self, *matches: str) -> None:
        """Let packets in both directions vanish: all, or those that one of the nftables `matches` describes."""
        rules = "\n".join(f"{match} drop" for match in matches or ("",))
        self.box.nft(
            "table ip hole\ndelete table ip hole\n"
            f"table ip hole {{ chain through {{ type filter hook forward priority -300\n{rules}\n}}\n}}\n"
        )

    def swallow_to(self, address: str, protocol: str = "udp") -> None:
        """Let what goes to and comes from `address` vanish."""
        self.swallow(*(f"ip {way} {address} meta l4proto {protocol}" for way in ("saddr", "daddr")))

    def spit(self) -> None:
        """End `swallow`."""
        self.box.nft("table ip hole\ndelete table ip hole")

    def limit_mtu(self, size: int) -> None:
        """Let the box refuse larger packets, in both directions, in the proper way (ICMP)."""
        self.box.ip(
            f"route replace {_NET}.0/24 dev wan src {self.outside} mtu lock {size}",
            f"route replace {self._lan} dev lan src {self._gateway} mtu lock {size}",
        )

    # --- the host's interface -----------------------------------------------------------------------------------------

    def plug(self) -> None:
        """Bring the host's interface up."""
        self.host.ip(
            f"addr replace {self.address}/24 dev eth0",
            "link set eth0 up",
            f"route replace default via {self._gateway} dev eth0",
        )

    def unplug(self) -> None:
        """Take the host's interface down; the host sees it."""
        self.host.ip("link set eth0 down")

    def set_cable(self, profile: Profile) -> dict[str, Any]:
        """Change what the cable does; return what it has counted.

        Raises:
            LabError: this site has no such cable.
        """
        if self._cable is None or self._cable.stdin is None or self._cable.stdout is None:
            raise LabError("this site has an ordinary cable")
        self._cable.stdin.write(json.dumps(asdict(profile)) + "\n")
        self._cable.stdin.flush()
        return dict(json.loads(self._cable.stdout.readline()))

    def close(self) -> None:
        """Remove it."""
        if self._cable is not None:
            assert self._cable.stdin is not None
            assert self._cable.stdout is not None
            self._cable.stdin.close()
            self._cable.wait()
            self._cable.stdout.close()
        for namespace in self._namespaces:
            namespace.remove()


class Lab:
    """An internet with sites.

    Attributes:
        net: the namespace with everything public, at `PUBLIC` and `SECOND_PUBLIC`.
        sites: one for each kind of NAT asked for, in that order.
    """

    def __init__(self, kinds: Sequence[NatKind], *, cables: bool = False) -> None:
        """Build it; `cables` makes the hosts' cables `Profile` cables."""
        self.sites: list[Site] = []
        self.net = Namespace("net")
        try:
            self.net.ip(
                "link add internet type bridge",
                "link set internet up",
                f"addr add {PUBLIC}/24 dev internet",
                f"addr add {SECOND_PUBLIC}/24 dev internet",
                *(line.format(dev="internet") for line in _NOWHERE),
            )
            for number, kind in enumerate(kinds, 1):
                self.sites.append(Site(number, kind, self.net, cables))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove everything, with the processes in it."""
        for site in self.sites:
            site.close()
        self.net.remove()


@contextlib.contextmanager
def laboratory(*kinds: NatKind, cables: bool = False) -> Iterator[Lab]:
    """A laboratory with one site for each of `kinds`."""
    lab = Lab(kinds, cables=cables)
    try:
        yield lab
    finally:
        lab.close()


@contextlib.asynccontextmanager
async def laboratory_aside(*kinds: NatKind, cables: bool = False) -> AsyncIterator[Lab]:
    """The same, built and removed without holding up the event loop."""
    start_reaper()
    lab = await asyncio.to_thread(Lab, kinds, cables=cables)
    try:
        yield lab
    finally:
        await asyncio.to_thread(lab.close)


def script(module: str) -> Path:
    """Return the file of a program in this package."""
    return Path(__file__).parent / f"{module}.py"
