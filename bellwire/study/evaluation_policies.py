"""The policies that an evaluation compares, each with the words a request needs for it.

Owns the table and the question whether a policy is there. Refuses silence: a policy that cannot run is an
error with its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.core.modes import parse_mode
from bellwire.core.registry import lookup
from bellwire.study.evaluation_jobs import Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPolicy:
    """One line of every figure."""

    name: str
    title: str
    mode: str  # generation mode of its requests; of `tuned`: what it has where there is nothing to tune
    searched: bool = False  # follows the strongest tree that a search found
    tuned: bool = False  # mode and tree are those of a calibration of the route
    centralised: bool = False
    baseline: bool = False  # shown in every figure


_ALL: Final = (
    ComparedPolicy(name="fixed_tree", title="rate-matched tree", mode="fixed_tree", baseline=True),
    ComparedPolicy(
        name="strongest_tree",
        title="strongest tree",
        mode="fixed_tree(links=full)",
        searched=True,
        baseline=True,
    ),
    ComparedPolicy(name="score", title="score", mode="score"),
    ComparedPolicy(name="tuned", title="score, tuned", mode="score", tuned=True),
    ComparedPolicy(name="swap_asap", title="swap at once", mode="swap_asap"),
    ComparedPolicy(name="oldest", title="oldest", mode="oldest"),
    ComparedPolicy(name="youngest", title="youngest", mode="youngest"),
    ComparedPolicy(name="longest_hop", title="longest hop", mode="longest_hop"),
    ComparedPolicy(name="shortest_hop", title="shortest hop", mode="shortest_hop"),
    ComparedPolicy(name="connectionless", title="connectionless, strong", mode="connectionless"),
    ComparedPolicy(
        name="connectionless_weak",
        title="connectionless, weak",
        mode="connectionless(congestion=window, loss_is_congestion=yes, pairs=on_demand)",
    ),
    ComparedPolicy(name="centralised", title="oldest, centralised", mode="oldest", centralised=True),
    ComparedPolicy(name="virtual_circuit", title="virtual circuit", mode="virtual_circuit"),
)

POLICIES: Final[dict[str, ComparedPolicy]] = {policy.name: policy for policy in _ALL}
"""All policies by name, in the order of legends."""


def policies_named(names: Sequence[str]) -> tuple[ComparedPolicy, ...]:
    """The policies of these names that can run, in the order of the table; nothing named: all.

    Raises:
        ConfigError: a name that the table does not have, or a policy that cannot run.
    """
    wanted = {lookup("policy", name, POLICIES).name for name in names} or set(POLICIES)
    found = tuple(policy for policy in _ALL if policy.name in wanted)
    for policy in found:
        check_available(policy)
    return found


def check_available(policy: ComparedPolicy) -> None:
    """Raises ConfigError when this installation cannot run the policy."""
    try:
        parse_mode(policy.mode)
    except ConfigError as missing:
        raise ConfigError(
            f"policy {policy.name} cannot run: {missing.problem}; name the others with --policies"
        ) from None


def words_for(policy: ComparedPolicy, prepared: Prepared) -> tuple[str, str | None]:
    """Generation mode and tree of a policy on a prepared route."""
    if policy.tuned and prepared.tuned_mode is not None:
        return prepared.tuned_mode, prepared.tuned_tree
    return policy.mode, prepared.strongest_tree if policy.searched else None
