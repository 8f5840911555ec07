"""Links whose pairs are purified, as plans count with them: times, states, lanes and refusals."""

from heapq import heappop, heappush
from random import Random

import msgspec
import pytest

from bellwire.core.bell import decay_rates, to_walsh, werner
from bellwire.core.errors import LocalMisuse
from bellwire.core.plans import Circumstances, EntanglementRequest, LinkRoom, RequestPlan
from bellwire.core.purification import ladder
from bellwire.core.settings import HeraldEstimate, NetworkSettings
from bellwire.core.settings import MemorySettings as Memory
from bellwire.planner.kept_back import supply
from bellwire.planner.lane_times import lane_latency_s, link_latency_s, link_state
from bellwire.planner.plans import IDLE, compute_plan
from bellwire.planner.purified_links import LANES_MIN, as_purified, lanes_needed
from tests.link_layer.bench import link_network


def network(lanes: int, **memory: object) -> NetworkSettings:
    """One link of Werner pairs of fidelity 0.85."""
    made = link_network(station=True, lanes=lanes)
    walsh = to_walsh(werner(0.85))
    heralds = tuple(
        HeraldEstimate(code=code, frame=code + 1, signs=walsh.signs, cost=walsh.cost) for code in (1, 2)
    )
    link = msgspec.structs.replace(made.links["a-b"], heralds=heralds)
    nodes = {
        name: node
        if node.memory is None
        else msgspec.structs.replace(node, memory=msgspec.structs.replace(node.memory, **memory))
        for name, node in made.nodes.items()
    }
    return msgspec.structs.replace(made, links={"a-b": link}, nodes=nodes)


def request(**changes: object) -> EntanglementRequest:
    asked = EntanglementRequest(request_id="r", target_nodes=("a", "b"), count=10, link_purification=1)
    return msgspec.structs.replace(asked, **changes)


def planned(lanes: int, circumstances: Circumstances = IDLE, **changes: object) -> RequestPlan:
    plan = compute_plan(network(lanes), request(**changes), 1, circumstances)
    assert isinstance(plan, RequestPlan)
    return plan


# ---- times


def simulated(
    seed: int, products: int, lanes: int, chances: tuple[float, ...], *, pumping: bool
) -> tuple[float, float]:
    """Mean time per product and mean wait of the kept pair per round, lane by lane; a fresh pair of a lane
    takes one second on average."""
    draw = Random(seed)
    kept: list[tuple[int, float, int]] = []  # (rounds, since when, lane)
    due: list[tuple[float, int]] = []
    for lane in range(lanes):
        heappush(due, (draw.expovariate(1.0), lane))
    made = rounds = 0
    waited = now = 0.0
    while made < products:
        now, lane = heappop(due)
        fresh = (0, now, lane)
        while True:
            partner = next((pair for pair in kept if pumping or pair[0] == fresh[0]), None)
            if partner is None:
                kept.append(fresh)
                break
            kept.remove(partner)
            rounds += 1
            waited += now - partner[1]
            heappush(due, (now + draw.expovariate(1.0), fresh[2]))
            passed = draw.random() < chances[partner[0]]
            if not passed or partner[0] + 1 == len(chances):
                made += passed
                heappush(due, (now + draw.expovariate(1.0), partner[2]))
                break
            fresh = (partner[0] + 1, now, partner[2])
            if pumping:
                kept.append(fresh)
                break
    return now / made, waited / rounds


@pytest.mark.parametrize(
    ("lanes", "chances", "pumping"),
    [
        (2, (0.7,), False),
        (5, (0.8, 0.9), False),
        (4, (0.6, 0.7, 0.8), False),
        (2, (0.7, 0.8, 0.9), True),
        (6, (0.9, 0.5), True),
    ],
)
def test_times_equal_a_simulation_of_every_lane(
    lanes: int, chances: tuple[float, ...], pumping: bool
) -> None:
    ours = supply(1.0, lanes, chances, 0.0, pumping=pumping)
    runs = [simulated(seed, 1500, lanes, chances, pumping=pumping) for seed in range(12)]
    for which in (0, 1):
        values = [run[which] for run in runs]
        mean = sum(values) / len(values)
        error = (sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)) ** 0.5
        # Student's t of 11 degrees beyond 5.5 errors: 2e-4 per comparison, 2e-3 for all ten; seeds are fixed.
        assert abs(ours[which] - mean) < 5.5 * error


def test_one_round_of_two_lanes_has_its_closed_form() -> None:
    """A first pair by two lanes, a second by one: (1/2 + 1) T / p, and the first waits for T."""
    ours = supply(2.0, 2, (0.8,), 0.0, pumping=False)
    assert ours.latency_s == pytest.approx(1.5 * 2.0 / 0.8)  # the 1.5 T / p of algorithms.md 2.2
    assert ours.waited_s == pytest.approx(2.0)


def test_a_round_costs_two_lanes_its_time() -> None:
    ours = supply(2.0, 4, (0.8,), 0.1, pumping=False)
    assert ours.latency_s == pytest.approx((2.0 / 4 + 2.0 / 3 + 2 * 0.1 / 4) / 0.8)


def test_a_recurrence_that_leaves_no_lane_is_our_mistake() -> None:
    with pytest.raises(LocalMisuse, match="2 rounds hold up to 2 pairs"):
        supply(1.0, 2, (0.8, 0.8), 0.0, pumping=False)


# ---- the planner's copy


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_the_copy_of_a_link_has_the_time_and_the_state_of_purified_pairs(rounds: int) -> None:
    made = network(6)
    link = made.links["a-b"]
    copy = as_purified(link, made.nodes, 0, rounds)
    memories = (_memory(made, "a"), _memory(made, "b"))
    rungs = ladder(werner(0.85), rounds, pumping=False, memories=memories)
    chances = tuple(rung.success_probability for rung in rungs)
    expected = supply(lane_latency_s(link), 6, chances, 0.0, pumping=False)
    assert link_latency_s(copy) == pytest.approx(expected.latency_s, rel=1e-12)
    assert link_state(copy) == pytest.approx(rungs[-1].state, abs=1e-12)


def _memory(made: NetworkSettings, node: str) -> Memory:
    memory = made.nodes[node].memory
    assert memory is not None
    return memory


def test_waiting_for_the_second_pair_costs_fidelity() -> None:
    good = network(4)
    poor = network(4, rates=decay_rates(None, None, 200_000_000))
    better, worse = (as_purified(made.links["a-b"], made.nodes, 0, 1) for made in (good, poor))
    link = poor.links["a-b"]
    wait_ns = lane_latency_s(link) / 3 * 1e9
    first = tuple(0.25 + (part - 0.25) * 2.718281828459045 ** (-2 * wait_ns / 2e8) for part in werner(0.85))
    second = werner(0.85)
    a, b = first, second
    chance = (a[0] + a[3]) * (b[0] + b[3]) + (a[1] + a[2]) * (b[1] + b[2])
    fidelity = (a[0] * b[0] + a[3] * b[3]) / chance
    assert link_state(worse)[0] == pytest.approx(fidelity, abs=1e-8)
    assert link_state(worse)[0] < link_state(better)[0]


def test_without_rounds_a_link_is_what_it_is() -> None:
    made = network(3)
    assert as_purified(made.links["a-b"], made.nodes, 0, 0) is made.links["a-b"]


# ---- plans


def test_a_plan_tells_both_ends_the_same_rounds_and_keeps_lanes_for_them() -> None:
    plan = planned(6, link_purification=2, cutoff_ns=5_000_000)
    for node in ("a", "b"):
        (link,) = plan.nodes[node].links
        assert (link.rounds, link.pumping, link.lanes, link.cutoff_ns) == (2, False, 3, 5_000_000)
    assert plan.fidelity > 0.9


def test_a_plan_without_room_for_a_recurrence_pumps() -> None:
    (link,) = planned(2, link_purification=3).nodes["a"].links
    assert (link.rounds, link.pumping, link.lanes) == (3, True, 2)


def test_a_plan_with_a_rate_reserves_what_rounds_and_rate_need() -> None:
    purified_hz = planned(8).rate_hz
    (few,) = planned(8, rate_threshold_hz=0.02 * purified_hz).nodes["a"].links
    (many,) = planned(8, rate_threshold_hz=0.9 * purified_hz).nodes["a"].links
    assert few.lanes == LANES_MIN
    assert many.lanes > 5


def test_a_plan_without_purification_is_as_it_was() -> None:
    plan = planned(4, link_purification=0, cutoff_ns=1_000_000)
    (link,) = plan.nodes["a"].links
    assert (link.rounds, link.pumping, link.lanes, link.cutoff_ns) == (0, False, 0, None)


@pytest.mark.parametrize(
    ("lanes", "room", "rounds", "reason"),
    [
        (1, None, 1, "no route"),
        (4, 1, 1, "link a-b has 1 of 4 lanes left, purification needs 2"),
        (4, None, 5, "0 to 4 rounds, not 5"),
    ],
)
def test_what_cannot_be_purified_is_refused_with_the_reason(
    lanes: int, room: int | None, rounds: int, reason: str
) -> None:
    left = () if room is None else (LinkRoom(link="a-b", lanes=room, weight=10),)
    refused = compute_plan(network(lanes), request(link_purification=rounds), 1, Circumstances(room=left))
    assert isinstance(refused, str)
    assert reason in refused


def test_a_fidelity_that_fresh_pairs_do_not_have_is_reached_by_purified_ones() -> None:
    assert isinstance(compute_plan(network(4), request(link_purification=0, fidelity_threshold=0.88), 1), str)
    assert planned(4, fidelity_threshold=0.88).fidelity >= 0.88


def test_lanes_that_rounds_need_follow_from_the_link() -> None:
    link = network(3).links["a-b"]
    assert [lanes_needed(link, rounds) for rounds in range(5)] == [0, 2, 3, 2, 2]
