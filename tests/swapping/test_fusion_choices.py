"""Which two states a node joins: at once, by worth, in a fixed order, and never two of one link."""

from typing import NamedTuple

from bellwire.core.ids import End, LinkId
from bellwire.core.plans import FusionPlan, FusionStep
from bellwire.gem.fold import Fold
from bellwire.node.slots import Slot
from bellwire.planner.fusion_worths import worths
from bellwire.swapping.fusion_choices import HeldState, choose_at_once, choose_by_worth, choose_fixed
from tests.gem.test_group_noise import Bench

EDGES = (("a", "v"), ("v", "w"), ("w", "b"), ("b", "c"))
LINKS = tuple("-".join(edge) for edge in EDGES)
TABLE = worths(EDGES, [1.0] * 4, dict.fromkeys("avwbc", 0.4))


def plan_at(node: str, order: str, **changes: object) -> FusionPlan:
    fields: dict[str, object] = {
        "request": "r",
        "kind": "ghz",
        "members": ("a", "w", "c"),
        "nodes": tuple("avwbc"),
        "links": LINKS,
        "branches": tuple(link for link in LINKS if node in link.split("-")),
        "retains": node in "awc",
        "edges": EDGES,
        "order": order,
        "worths": tuple(TABLE.items()),
        "success_probability": 0.4,
        **changes,
    }
    return FusionPlan(**fields)  # type: ignore[arg-type]  # fields of a test, by name


class Held(NamedTuple):
    states: list[HeldState]
    fold: Fold


def held(bench: Bench, *ends: End) -> Held:
    for author, fact in bench.facts:
        bench.fold.apply(author, 1, fact)
    states: list[HeldState] = []
    for number, end in enumerate(ends):
        slot = Slot(number, end.link, 0)
        slot.end, slot.state, slot.born_ns = end, "held", number
        states.append(HeldState(slot, end, frozenset((end.link,))))
    return Held(states, bench.fold)


def owner_of(link: LinkId, side: int) -> str:
    return link.split("-")[side]


def test_two_states_of_one_link_are_never_joined() -> None:
    bench = Bench(1)
    (_, one), (_, other) = bench.pair("a-v"), bench.pair("a-v")
    states, fold = held(bench, one, other)
    assert choose_at_once(plan_at("v", "asap"), states) is None
    assert choose_by_worth(plan_at("v", "score"), states, fold, owner_of, 10) is None


def test_a_middle_node_waits_for_both_halves_where_a_join_of_single_links_is_not_worth_it() -> None:
    bench = Bench(1)
    (_, left), (right, _) = bench.pair("v-w"), bench.pair("w-b")
    states, fold = held(bench, left, right)
    plan = plan_at("w", "score")
    assert choose_at_once(plan, states) is not None
    assert choose_by_worth(plan, states, fold, owner_of, None) is None


def test_what_is_not_worth_it_is_joined_when_patience_ends() -> None:
    bench = Bench(1)
    (_, left), (right, _) = bench.pair("v-w"), bench.pair("w-b")
    states, fold = held(bench, left, right)
    plan = plan_at("w", "score")
    assert choose_by_worth(plan, states, fold, owner_of, 0) is None  # the second is younger
    choice = choose_by_worth(plan, states, fold, owner_of, 1)
    assert choice is not None
    assert choice.kept.end == left
    assert not choice.leave


def test_a_middle_node_joins_two_halves_and_an_outer_one_two_links() -> None:
    bench = Bench(1)
    (_, a), (v, left), (right, b), (c, _) = (bench.pair(link) for link in LINKS)
    bench.swap(a, v)
    bench.swap(b, c)
    states, fold = held(bench, left, right)
    assert choose_by_worth(plan_at("w", "score"), states, fold, owner_of, None) is not None
    fresh = Bench(2)
    (_, a), (v, _) = fresh.pair("a-v"), fresh.pair("v-w")
    states, fold = held(fresh, a, v)
    choice = choose_by_worth(plan_at("v", "score"), states, fold, owner_of, None)
    assert choice is not None
    assert choice.leave  # v is no member, and these are all of its links


def test_a_fixed_order_joins_exactly_the_states_that_it_names() -> None:
    step = FusionStep(one="v-w", other="w-b", one_nodes=("a", "w"), other_nodes=("c", "w"))
    plan = plan_at("w", "fixed", steps=(step,))
    bench = Bench(1)
    (_, a), (v, left), (right, b), (c, _) = (bench.pair(link) for link in LINKS)
    bench.swap(a, v)
    early = Bench(1)
    early.facts = list(bench.facts)
    states, fold = held(early, left, right)
    assert choose_fixed(plan, states, fold, owner_of) is None
    bench.swap(b, c)
    states, fold = held(bench, left, right)
    choice = choose_fixed(plan, states, fold, owner_of)
    assert choice is not None
    assert (choice.kept.end, choice.measured.end) == (left, right)
