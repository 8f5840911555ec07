"""The state of a link, from what its ends and station claim and from who of them is there.

Owns the order in which things that are wrong count: the first one that holds names the state. Refuses to
remember anything.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Literal

from bellwire.core.ids import NodeId
from bellwire.core.settings import LinkSettings
from bellwire.core.topology_messages import LinkClaim, LinkVerification
from bellwire.planner.link_claims import contradiction

LinkState = Literal["down", "contradicted", "half_announced", "suspect", "degraded", "verified", "unverified"]
"""down: an end or the station is gone, or says that nothing comes. contradicted: they say different things of
it. half_announced: not all of them have announced it. suspect: one of them is not heard, or in doubt.
degraded: it makes pairs that are not as they should be. verified: a quantum ping has shown that it entangles
at the fidelity that was asked for. unverified: nothing is known against it."""

Standing = Callable[[NodeId], tuple[str, str]]
"""State and reason of a node."""


def link_state(
    claims: Mapping[NodeId, LinkClaim], settings: LinkSettings | None, standing: Standing
) -> tuple[LinkState, str]:
    """State and reason of a link. `settings`: of the own lab file, None: the file does not know it."""
    if not claims:
        return "half_announced", "nobody has announced it"
    members = _members(claims, settings)
    standings = {name: standing(name) for name in members}
    for name, (state, reason) in standings.items():
        if state in ("down", "left"):
            return "down", f"{name} {reason}"
    speakers = sorted(claims)
    for one, other in pairwise(speakers):
        differs = contradiction(claims[one], claims[other])
        if differs is not None:
            return "contradicted", f"{one} and {other} announce {differs}"
    silent = [name for name in members if name not in claims]
    if silent:
        return "half_announced", f"{' and '.join(silent)} has not announced it"
    if settings is None:
        return "unverified", "the lab file of this node does not have it"
    worst: dict[str, str] = {}
    for name, (state, reason) in standings.items():
        if state == "suspect":
            worst.setdefault("suspect", f"{name} {reason}")
    for name in speakers:
        if claims[name].condition != "up":
            worst.setdefault(claims[name].condition, f"{name}: {claims[name].reason}")
    if "down" in worst:
        return "down", worst["down"]
    if "suspect" in worst:
        return "suspect", worst["suspect"]
    if "degraded" in worst:
        return "degraded", worst["degraded"]
    found = latest_verification(claims)
    if found is not None and found.verdict == "yes":
        return "verified", f"fidelity {found.fidelity:.3f} by {found.pairs} pairs"
    return "unverified", "" if found is None else f"a quantum ping was {found.verdict}"


def latest_verification(claims: Mapping[NodeId, LinkClaim]) -> LinkVerification | None:
    """The newest quantum ping that any of those who claim a link tells; None: there was none."""
    found = [claim.verification for claim in claims.values() if claim.verification is not None]
    return max(found, key=lambda one: (one.at_ns, one.pairs, one.fidelity), default=None)


def _members(claims: Mapping[NodeId, LinkClaim], settings: LinkSettings | None) -> tuple[NodeId, ...]:
    """Both ends and the station, as the own lab file has them, or else as they were announced."""
    if settings is not None:
        nodes, station = settings.nodes, settings.station
    else:
        first = claims[min(claims)]
        nodes, station = first.nodes, first.station
    return nodes if station is None else (*nodes, station)
