"""Runs the program that floods a namespace."""

from __future__ import annotations

import struct
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.rigs.flood.garbage import STRANGERS
from tests.rigs.programs import Conversation, build, missing_tun_program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from tests.rigs.namespaces import Namespace

HERE = Path(__file__).resolve().parent
DEVICE = "flood0"
COUNTS: Final = struct.Struct("=QQ")
"""The shared file: datagrams poured in so far, and those that the kernel refused to take."""


def missing_flood() -> str | None:
    """Why the flood can't run here, or None if it can."""
    return missing_tun_program()


class Flood:
    """A device in a namespace that garbage comes in by; use it as a context manager.

    Args:
        namespace: Whom to flood.

    Raises:
        RigError: It can't be built.
    """

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._stack = ExitStack()
        self._program: Conversation
        self._folder: Path

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="traceprobe-rig-")))
            self.counts.write_bytes(bytes(COUNTS.size))
            program = build("flood", HERE / "flood.c")
            command = self._namespace.command([str(program), DEVICE, str(self.counts)])
            self._program = stack.enter_context(Conversation("the flood", command))
            self._program.read("ready")
            self._namespace.run(["sh", "-ec", _SETUP])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def counts(self) -> Path:
        """The shared file that tells how many datagrams were poured in; see :data:`COUNTS`."""
        return self._folder / "counts"

    def refused(self) -> int:
        """How many datagrams the kernel refused to take from the device."""
        return int(COUNTS.unpack(self.counts.read_bytes())[1])

    def load(self, datagrams: Sequence[bytes]) -> None:
        """Pour these from now on, in turn."""
        file = self._folder / "datagrams"
        file.write_bytes(b"".join(len(one).to_bytes(2, "big") + one for one in datagrams))
        self._program.say(f"load {file}")

    def start(self, rate: int) -> None:
        """Begin to pour so many a second."""
        self._program.say(f"start {rate}")

    def stop(self) -> None:
        """End it."""
        self._program.say("stop")


_SETUP = f"""\
for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > "$file"; done
ip link set dev {DEVICE} addrgenmode none txqueuelen 1
ip link set dev {DEVICE} up
ip route add 192.0.2.0/24 dev {DEVICE}
ip route add 2001:db8:bad::/48 dev {DEVICE}
"""
"""Whatever the strangers are told goes back into the device, where nobody reads it."""

assert STRANGERS[4] == 0xC0000200
