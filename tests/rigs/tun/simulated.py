"""Runs the simulated internet in a namespace of its own."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.rigs.namespaces import Namespace, NamespaceGroup
from tests.rigs.programs import Conversation, build, missing_tun_program
from tests.rigs.tun.log import Log, parse_log
from tests.rigs.tun.manners import Manner
from tests.rigs.tun.scenario import compile_topology
from traceprobe.testing.topology import Topology

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from tests.rigs.tun.forgery import Forgery

HERE = Path(__file__).resolve().parent
SCENARIOS = HERE.parent / "scenarios"
DEVICE = "tun0"

_SPIN_NS = 150_000
"""How long before a reply is due the program stops sleeping: several times what waking up takes."""
_LINGER_NS = 300_000
"""How long it stays awake after a probe came, since more are to be expected."""
_VIGIL_NS = 200_000_000
"""How long it stays awake while nothing is on its way, if it is to be vigilant."""


def load_scenario(name: str) -> Topology:
    """Read the topology of one of the scenario files."""
    document = _read_scenario(name)
    document.pop("manners", None)
    return Topology.from_dict(document)


def load_manners(name: str) -> dict[str, Manner]:
    """Read the manners of a scenario file, by address; many have none."""
    return {
        address: Manner.from_dict(one) for address, one in _read_scenario(name).get("manners", {}).items()
    }


def _read_scenario(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SCENARIOS / f"{name}.json").read_text(encoding="utf-8"))
    return document


def missing_internet() -> str | None:
    """Why the simulated internet can't run here, or None if it can."""
    return missing_tun_program()


def sources() -> list[Path]:
    """What the program is made of."""
    return sorted(HERE.glob("*.c"))


def build_program() -> Path:
    """Compile the program, once for each process that asks."""
    return build("internet", *sources())


class SimulatedInternet:
    """An internet in one namespace; use it as a context manager.

    The namespace has the topology's source addresses and one TUN device that everything is routed into.

    Args:
        topology: Which paths there are, and how their hops behave.
        seed: What happens by chance is the same for the same seed and the same order of probes.
        vigilant: Stay awake between traces that follow each other closely, so that the first probes of
            each are stamped to the microsecond; takes most of a processor. For measurements.
        mtu: MTU of the device, bytes.
        queue_length: How many datagrams the device holds until they are read.

    Raises:
        RigError: It can't be built.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        seed: int = 1,
        vigilant: bool = False,
        mtu: int = 1500,
        queue_length: int = 32768,
    ) -> None:
        self._topology = topology
        self._seed = seed
        self._vigilant = vigilant
        self._mtu = mtu
        self._queue_length = queue_length
        self._processors: list[int] = []
        self._stack = ExitStack()
        self._program: Conversation
        self._folder: Path
        self.namespace: Namespace
        self.granted: dict[str, bool] = {}
        """Whether real-time scheduling, a processor of its own and locked memory were granted."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            (self.namespace,) = stack.enter_context(NamespaceGroup("internet"))
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="traceprobe-rig-")))
            *others, processor = sorted(os.sched_getaffinity(0))
            linger, vigil = _LINGER_NS, _VIGIL_NS if self._vigilant else 0
            if not others:
                # Where there is no other processor, who stays awake keeps the prober from running.
                processor, linger, vigil = -1, 0, 0
            self._processors = others
            options = [DEVICE, str(_SPIN_NS), str(linger), str(vigil), str(processor)]
            command = self.namespace.command([str(build_program()), *options])
            self._program = stack.enter_context(Conversation("the simulated internet", command))
            words = self._program.read("ready").split()[1:]
            self.granted = {name: value == "1" for name, _, value in (word.partition("=") for word in words)}
            self._run_script(_SETUP.format(mtu=self._mtu, queue_length=self._queue_length))
            self.load(self._topology, seed=self._seed)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def topology(self) -> Topology:
        """The topology that is being followed."""
        return self._topology

    def load(
        self,
        topology: Topology,
        *,
        seed: int = 1,
        manners: Mapping[str, Manner] | None = None,
        forgeries: Mapping[str, Sequence[Forgery]] | None = None,
    ) -> None:
        """Follow another topology from now on; the log begins anew.

        Args:
            topology: Which paths there are.
            seed: As for the class.
            manners: How stations differ from plain ones, by their addresses.
            forgeries: What is forged on the path to each target, by its address.
        """
        lines = [f"address flush dev {DEVICE} scope global"]
        for version, bits in ((4, 32), (6, 128)):
            source = topology.source(version)
            if source is not None:
                lines.append(f"address add {source}/{bits} dev {DEVICE}" + (" nodad" if version == 6 else ""))
                # The route names the source, or else the kernel would refuse to use it for the other family.
                default = "0.0.0.0/0" if version == 4 else "::/0"
                lines.append(f"route replace {default} dev {DEVICE} src {source}")
        self._run_script("ip -batch - <<'END'\n" + "\n".join(lines) + "\nEND\n")
        file = self._folder / "scenario"
        file.write_text(compile_topology(topology, manners, forgeries), encoding="ascii")
        self._topology = topology
        self._program.say(f"scenario {file} {seed}")

    def reset(self, *, seed: int = 1) -> None:
        """Begin the network anew: nothing on its way, an empty log, full token buckets."""
        self._program.say(f"reset {seed}")

    def log(self) -> Log:
        """What came and what left since the network began, once nothing is on its way any more."""
        file = self._folder / "log"
        self._program.say(f"log {file}")
        log = parse_log(file.read_bytes())
        file.unlink()
        return log

    def run(self, arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program as the prober; see :meth:`Namespace.run`.

        It keeps off the processor that the simulated internet runs on, which would interrupt it for every
        probe it sends.
        """
        return self.namespace.run(arguments, processors=self._processors, **options)

    def call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        """Call a function as the prober, likewise; see :meth:`Namespace.call`."""
        return self.namespace.call(function, *arguments, processors=self._processors, **options)

    def _run_script(self, script: str) -> None:
        self.namespace.run(["sh", "-e"], standard_input=script)


_SETUP = """\
for file in /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv6/conf/*/accept_dad \\
            /proc/sys/net/ipv6/conf/*/router_solicitations; do echo 0 > "$file"; done
ip -batch - <<'END'
link set lo up
link set dev tun0 addrgenmode none
link set dev tun0 mtu {mtu} txqueuelen {queue_length}
link set dev tun0 up
END
"""
