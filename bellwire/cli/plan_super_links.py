"""From the options of `bellwire plan --predistribution` to a choice of super-links.

Owns the table of methods for it and the options that it takes. Refuses the choice (planner) and its words.
"""

from typing import TYPE_CHECKING, Final

from bellwire.cli.plan_progress import Told, worked
from bellwire.cli.plan_wishes import Search, Wishes
from bellwire.core.registry import lookup

if TYPE_CHECKING:
    from bellwire.planner.reports.super_links import SuperLinkChoice
    from bellwire.planner.requests import Options
    from bellwire.planner.topology import Topology

METHODS: Final = {"greedy": "greedy", "clusters": "clusters"}
"""One by one, or one for each group of requests."""


def choose_super_links(
    topology: "Topology", wishes: Wishes, search: Search, options: "Options"
) -> "SuperLinkChoice":
    """The pairs of nodes to keep entangled.

    Raises:
        ConfigError: an unknown method or node, a demand that no way serves, or a mistake in the file.
    """
    from bellwire.labs.plan_requests import read_demand
    from bellwire.planner.predistribution import BUDGET_ATTEMPTS, Demand, SuperLinks
    from bellwire.planner.predistribution_clusters import clustered
    from bellwire.planner.predistribution_greedy import greedy
    from bellwire.planner.reports.super_links import SuperLinkChoice

    assert wishes.predistribution is not None
    demands = tuple(Demand(*each) for each in read_demand(wishes.predistribution, topology))
    method = lookup("method of pre-distribution", search.method or "greedy", METHODS)
    budget = BUDGET_ATTEMPTS if search.budget_attempts is None else search.budget_attempts

    def work(_: Told) -> "SuperLinkChoice":
        known = SuperLinks(
            topology,
            demands,
            budget_attempts=budget,
            latency_max_s=search.max_age_s,
            options=options,
        )
        return SuperLinkChoice(demands, greedy(known) if method == "greedy" else clustered(known))

    return worked(f"choosing pairs to keep for {len(demands)} demands", work)
