"""Who connects this machine, and whose the target is: look-ups about the ends of a path.

Neither end need answer: the networks of both are asked for like those of the hops between them, through the
same enrichers and caches.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import attrs

from traceprobe.enrich._protocols import name_of, reason_of
from traceprobe.enrich._segments import PathEnds, asns_of, classify
from traceprobe.enrich._special import announced_address
from traceprobe.model import NOTHING_KNOWN, EnrichmentError, Knowledge

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from traceprobe.enrich._pipeline import EnrichmentPipeline
    from traceprobe.enrich._prefixes import IPAddress
    from traceprobe.enrich._protocols import Enricher
    from traceprobe.enrich._public_address import PublicAddressFinder
    from traceprobe.enrich._segments import Verdict
    from traceprobe.model import Asn


class OwnNetworkEnricher:
    """Finds out which network connects this machine; asked about the address that probes come from.

    Args:
        own_addresses: What the user says; the first one of each family counts.
        finder: Asks for the public address; None asks nobody, and only a source that is public itself
            tells it.
        networks: Who knows the networks of addresses.
    """

    name: Final = "public_address"

    def __init__(
        self,
        own_addresses: Sequence[str],
        finder: PublicAddressFinder | None,
        networks: Sequence[Enricher],
    ) -> None:
        self._own_addresses = tuple(ip_address(text) for text in own_addresses)
        self._finder = finder
        self._networks = tuple(networks)
        self._found: dict[IPAddress, IPAddress] = {}

    async def enrich(self, address: IPAddress) -> Knowledge:
        """What is known of the public address behind that of the probes, which may be unspecified.

        Raises:
            OSError: The public address could not be found.
        """
        public = await self._public_address(address)
        if public is None:
            return NOTHING_KNOWN
        self._found[address] = public
        knowledge = NOTHING_KNOWN
        for enricher in self._networks:
            try:
                told = await enricher.enrich(public)
            except OSError as error:
                told = Knowledge(errors=(EnrichmentError(name_of(enricher), reason_of(error)),))
            knowledge = knowledge.merged(told)
        return knowledge

    async def _public_address(self, source: IPAddress) -> IPAddress | None:
        for address in self._own_addresses:
            if address.version == source.version:
                return address
        if self._finder is not None:
            return await self._finder.find(source.version, None if source.is_unspecified else source)
        return announced_address(source)

    def address_of(self, source: IPAddress) -> IPAddress | None:
        """The public address that was found behind ``source``."""
        return self._found.get(source)


def _nothing_to_do() -> None:
    """For as long as nobody wants to know."""


class PathJudge:
    """Puts the responders of one trace into segments, as knowledge comes in.

    Args:
        pipeline: Makes the look-ups.
        own_network: Knows who connects this machine.
        networks: Who knows the network of the target.
        destination: The address that is traced.

    Attributes:
        ends_known: Called whenever a look-up of an end has ended.
    """

    def __init__(
        self,
        pipeline: EnrichmentPipeline,
        own_network: OwnNetworkEnricher,
        networks: Sequence[Enricher],
        destination: IPAddress,
    ) -> None:
        self.ends_known: Callable[[], None] = _nothing_to_do
        self._pipeline = pipeline
        self._own_network = own_network
        self._networks = tuple(networks)
        self._waiting_for: list[Enricher] = [own_network, *self._networks]
        self._asked_about: IPAddress | None = None
        self._isp = NOTHING_KNOWN
        self._target = NOTHING_KNOWN
        self._errors: list[EnrichmentError] = []
        self._ends = PathEnds(source=None, destination=destination, isp_asns=None, destination_asns=None)

    @property
    def is_waiting(self) -> bool:
        """Whether an end of the path is still being looked up."""
        return bool(self._waiting_for)

    @property
    def public_address(self) -> IPAddress | None:
        """The public address of this machine, as far as it is known."""
        source = self._asked_about
        return None if source is None else self._own_network.address_of(source)

    @property
    def isp(self) -> Asn | None:
        """The network that announces it."""
        return self._isp.asn

    @property
    def errors(self) -> tuple[EnrichmentError, ...]:
        """Look-ups of the ends that failed."""
        return tuple(dict.fromkeys(self._errors))

    def look_up_ends(self, source: IPAddress | None) -> None:
        """Begin; later calls do nothing. Nothing is asked before this returns.

        Args:
            source: Where the probes come from; None if that is not known.
        """
        if self._asked_about is not None:
            return
        destination = self._ends.destination
        nowhere = type(destination)(0)
        self._asked_about = nowhere if source is None or source.version != destination.version else source
        self._ends = attrs.evolve(self._ends, source=source)
        self._pipeline.request(self._asked_about, (self._own_network,), self._learnt)
        if self._networks:
            self._pipeline.request(destination, self._networks, self._learnt)

    def _learnt(self, _: IPAddress, enricher: Enricher, knowledge: Knowledge) -> None:
        if enricher not in self._waiting_for:
            return
        self._waiting_for.remove(enricher)
        if enricher is self._own_network:
            self._isp = knowledge
            self._errors += knowledge.errors
        else:
            self._target = self._target.merged(knowledge)
        own_is_known = self._own_network not in self._waiting_for
        target_is_known = all(each is self._own_network for each in self._waiting_for)
        self._ends = attrs.evolve(
            self._ends,
            isp_asns=asns_of(self._isp) if own_is_known else None,
            destination_asns=asns_of(self._target) if target_is_known else None,
        )
        self.ends_known()

    def give_up(self, reason: str) -> None:
        """Wait no more: what is not known of an end by now stays unknown."""
        self._errors += [EnrichmentError(name_of(enricher), reason) for enricher in self._waiting_for]
        self._waiting_for.clear()
        self._ends = attrs.evolve(
            self._ends,
            isp_asns=asns_of(self._isp),
            destination_asns=asns_of(self._target),
        )

    def verdicts(
        self,
        path: Iterable[tuple[int, Iterable[IPAddress]]],
        knowledge: Mapping[IPAddress, Knowledge],
        pending: Collection[IPAddress],
    ) -> Mapping[IPAddress, Verdict]:
        """A verdict for each responder that has one already; see :func:`classify`."""
        return classify(path, knowledge, self._ends, pending=pending)
