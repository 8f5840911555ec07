"""Operating points of a link, and a truth that changes in mid run: rates, states, and what stays as it was.

Seeds are fixed. Statistical bounds are 4.9 standard errors (false alarm 1e-6 each); sample sizes are stated.
"""

from collections import Counter
from math import sqrt

import pytest

from bellwire.core.bell import Bell, permute
from bellwire.core.errors import LocalMisuse
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.simulator_backend.world import Click, LinkTruth, MemoryTruth, PlannedClick, World

PERIOD, DELAY, FOREVER = 1_000, 400, 1 << 50
DIM: Bell = (0.97, 0.01, 0.01, 0.01)
BRIGHT: Bell = (0.8, 0.1, 0.06, 0.04)
SIGMAS = 4.9


def physics(p: float, relative: Bell) -> HeraldPhysics:
    """Half of the heralds have code 1, half code 2; both give `relative` in their frame."""
    return HeraldPhysics(p, tuple(HeraldOutcome(code, 0.5, permute(relative, code + 1)) for code in (1, 2)))


POINTS = (physics(0.02, DIM), physics(0.2, BRIGHT))


def link(points: tuple[HeraldPhysics, ...] = (), p: float = 0.02) -> LinkTruth:
    return LinkTruth(
        name="ab", nodes=("A", "B"), period_ns=PERIOD, success_probability=p,
        outcomes=physics(p, DIM).outcomes, lanes=2, click_delay_ns=DELAY, points=points,
    )  # fmt: skip


def world_of(truth: LinkTruth, seed: int = 1) -> World:
    return World([truth], [MemoryTruth(node=node, slots=4) for node in "AB"], seed)


class Player:
    """Arms both sides of lane 0 in window after window, and lets clicks happen when they are due."""

    def __init__(self, world: World, run: int = 1) -> None:
        self.world = world
        self.run = run
        self.now_ns = 0
        self.planned: PlannedClick | None = None
        self.clicks: list[Click] = []
        self.points: list[int] = []
        self.states: list[Bell] = []
        self.tried: Counter[int] = Counter()

    def window(self, point: int, first: int, last: int) -> None:
        """Both sides attempt first..last at a point; after a success they go on at once."""
        while first <= last:
            self._arm(point, first, last)
            if self.planned is None or self.planned.attempt > last:
                self.tried[point] += last - first + 1
                break
            attempt = self.planned.attempt
            self.tried[point] += attempt - first + 1
            self.realise()
            first = attempt + 1
        self.now_ns = (last + 1) * PERIOD

    def _arm(self, point: int, first: int, last: int) -> None:
        self.planned = None
        for node in "AB":
            planned = self.world.arm(node, 0, "ab", 0, self.run, 0, first, last, self.now_ns, point)
            self.planned = planned or self.planned

    def realise(self) -> None:
        assert self.planned is not None
        self.now_ns = max(self.now_ns, self.planned.at_ns)
        click = self.world.realise(self.planned, self.now_ns)
        assert click is not None
        truth = self.world.truth("A", 0, self.now_ns)
        assert truth is not None
        self.clicks.append(click)
        self.points.append(self.planned.point)
        self.states.append(truth.state)
        self.now_ns = (click.attempt + 1) * PERIOD


def test_each_point_has_its_own_rate_and_state_however_windows_alternate() -> None:
    """Windows of 1..40 attempts at points in turn, until each has had 20,000 attempts."""
    player, first, number = Player(world_of(link(POINTS))), 0, 0
    while min(player.tried[0], player.tried[1]) < 20_000:
        length = 1 + 7 * number % 40
        player.window(number % 2, first, first + length - 1)
        first, number = first + length, number + 1
    counts = Counter(player.points)
    for point, (p, _) in enumerate(POINTS):
        sigma = sqrt(player.tried[point] * p * (1 - p))
        assert abs(counts[point] - player.tried[point] * p) < SIGMAS * sigma
    for click, point, state in zip(player.clicks, player.points, player.states, strict=True):
        assert state == pytest.approx((DIM, BRIGHT)[point], abs=1e-12), click
    assert Counter(click.code for click in player.clicks).keys() == {1, 2}


def test_what_is_left_of_a_gap_at_one_point_does_not_depend_on_attempts_at_another() -> None:
    """The first success at point 0 takes as many attempts at point 0 with and without fruitless windows at
    point 1 between them; 40 runs."""
    dark = (POINTS[0], physics(1e-9, BRIGHT))
    for run in range(40):
        plain, mixed = Player(world_of(link(dark)), run), Player(world_of(link(dark)), run)
        plain.window(0, 0, 2_000)
        first = 0
        while not mixed.clicks:
            mixed.window(0, first, first + 9)
            mixed.window(1, first + 10, first + 14)
            first += 15
        before = mixed.clicks[0].attempt // 15 * 5  # attempts at point 1 until then
        assert mixed.clicks[0].attempt - before == plain.clicks[0].attempt


def test_waiting_times_at_two_points_of_one_gap_are_independent() -> None:
    """Points 1 and 2 alike, 1,000 runs: waits are equal in a share p/(2 - p), their means agree with 1/p."""
    p, runs = 0.1, 1_000
    alike = (POINTS[0], physics(p, DIM), physics(p, BRIGHT))
    waits = []
    for run in range(runs):
        players = [Player(world_of(link(alike)), run) for _ in alike[1:]]
        for point, player in enumerate(players, start=1):
            player.window(point, 0, 200)
        waits.append([player.clicks[0].attempt + 1 for player in players])
    share = p / (2 - p)
    same = sum(first == second for first, second in waits)
    assert abs(same - runs * share) < SIGMAS * sqrt(runs * share * (1 - share))
    for place in (0, 1):
        mean = sum(wait[place] for wait in waits) / runs
        assert abs(mean - 1 / p) < SIGMAS * sqrt((1 - p) / p**2 / runs)


def test_point_0_meets_the_heralds_of_a_link_without_points() -> None:
    plain, pointed = Player(world_of(link())), Player(world_of(link(POINTS)))
    for player in (plain, pointed):
        player.window(0, 0, 3_000)
    assert plain.clicks == pointed.clicks
    assert len(plain.clicks) > 30


def test_sides_at_different_points_meet_nothing_until_they_agree() -> None:
    world = world_of(link(POINTS))
    assert world.arm("A", 0, "ab", 0, 1, 0, 0, FOREVER, 0, 0) is None
    assert world.arm("B", 0, "ab", 0, 1, 0, 0, FOREVER, 0, 1) is None
    planned = world.arm("A", 0, "ab", 0, 1, 0, 0, FOREVER, 70 * PERIOD, 1)
    assert planned is not None
    assert (planned.point, planned.attempt >= 70) == (1, True)
    assert world.arm("B", 0, "ab", 0, 1, 0, 0, FOREVER, 70 * PERIOD, 0) is None
    assert world.realise(planned, planned.at_ns) is None
    assert world.attempting("A") == world.attempting("B") == (0,)


def test_a_point_that_the_hardware_does_not_have_is_refused() -> None:
    for truth, point in ((link(), 1), (link(POINTS), 2), (link(POINTS), -1)):
        with pytest.raises(LocalMisuse, match="operating points 0"):
            world_of(truth).arm("A", 0, "ab", 0, 1, 0, 0, 9, 0, point)


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ((POINTS[0], HeraldPhysics(1.5, POINTS[1].outcomes)), "success probability 1.5"),
        ((POINTS[0], HeraldPhysics(0.5, POINTS[1].outcomes[:1])), "do not sum to one"),
    ],
)
def test_a_point_that_no_link_can_have_is_refused(points: tuple[HeraldPhysics, ...], problem: str) -> None:
    with pytest.raises(LocalMisuse, match=problem):
        link(points)


def test_after_a_change_the_link_has_the_new_rate_and_state_and_pairs_keep_theirs() -> None:
    """20,000 attempts before, 20,000 after."""
    world = world_of(link(p=0.05))
    player = Player(world)
    player.window(0, 0, 19_999)
    before = len(player.clicks)
    for node in "AB":  # a pair that is in memory when the hardware changes
        planned = world.arm(node, 1, "ab", 1, 1, 0, 20_000, FOREVER, player.now_ns)
    assert planned is not None
    world.realise(planned, planned.at_ns)
    player.now_ns = planned.at_ns
    first = planned.attempt + 1
    assert world.change_link("ab", player.now_ns, success_probability=0.15, outcomes=POINTS[1].outcomes) == ()
    held = world.truth("A", 1, player.now_ns)
    assert held is not None
    assert held.state == pytest.approx(DIM, abs=1e-12)
    player.window(0, first, first + 19_999)
    for count, p in ((before, 0.05), (len(player.clicks) - before, 0.15)):
        assert abs(count - 20_000 * p) < SIGMAS * sqrt(20_000 * p * (1 - p))
    assert player.states[before - 1] == pytest.approx(DIM, abs=1e-12)
    assert player.states[before:] == [pytest.approx(BRIGHT, abs=1e-12)] * (len(player.clicks) - before)


def test_a_change_replans_what_has_not_started_and_leaves_what_has() -> None:
    world = world_of(link(p=0.01))
    for node in "AB":
        for lane in (0, 1):
            planned = world.arm(node, lane, "ab", lane, 1, 0, 0, FOREVER, 0)
            if planned is not None and lane == 0:
                first = planned
            elif planned is not None:
                second = planned
    started, waiting = sorted((first, second), key=lambda one: one.at_ns)
    assert started.attempt < waiting.attempt
    now_ns = started.attempt * PERIOD + 1  # the photon of the one is on its way
    (replanned,) = world.change_link("ab", now_ns, success_probability=0.9)
    assert replanned.lane == waiting.lane
    assert started.attempt < replanned.attempt < waiting.attempt
    assert world.realise(started, started.at_ns) is not None
    assert world.realise(replanned, replanned.at_ns) is not None
    assert world.realise(waiting, waiting.at_ns) is None


def test_changes_draw_anew_so_that_waiting_does_not_remember_the_old_truth() -> None:
    """Changing to a dark link and back before every attempt: still p of 6,000 attempts succeed."""
    p, attempts = 0.1, 6_000
    world, clicks = world_of(link(p=p)), 0
    for attempt in range(attempts):
        now_ns = attempt * PERIOD
        world.change_link("ab", now_ns, success_probability=0.0)
        found = list(world.change_link("ab", now_ns, success_probability=p))
        for node in "AB":
            planned = world.arm(node, 0, "ab", 0, 1, 0, attempt, attempt, now_ns)
            if planned is not None:
                found.append(planned)
        clicks += any(world.realise(one, one.at_ns) is not None for one in found)
    assert abs(clicks - attempts * p) < SIGMAS * sqrt(attempts * p * (1 - p))


def test_a_change_can_neither_add_points_nor_make_an_impossible_link() -> None:
    world = world_of(link())
    with pytest.raises(LocalMisuse, match="cannot make it 2"):
        world.change_link("ab", 0, points=POINTS)
    with pytest.raises(LocalMisuse, match="success probability 2"):
        world.change_link("ab", 0, success_probability=2.0)
    with pytest.raises(LocalMisuse, match="no link of the name"):
        world.change_link("zz", 0, success_probability=0.5)
