"""Any history of rates and fidelities: no haste, no threshold out of bounds, and always an end."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.settings import MonitorSettings
from bellwire.transport.corrections_window import Durations
from tests.transport.monitored import LATENCY_NS, MS, SECOND, Monitored

ASKED_HZ, ASKED_FIDELITY = 10.0, 0.8


@st.composite
def rules(draw: st.DrawFn, samples_min: int = 1, latencies_min: float = 1.0) -> MonitorSettings:
    rungs = st.sampled_from(["replan", "adjust", "suspend"])
    return MonitorSettings(
        samples_min=draw(st.integers(samples_min, 40)),
        duration_least_ns=0,
        duration_latencies=draw(st.floats(latencies_min, 8.0)),
        cooldown_durations=draw(st.floats(0.0, 4.0)),
        suspension_durations=draw(st.floats(0.5, 12.0)),
        memory_durations=draw(st.floats(1.0, 30.0)),
        rate_tolerance=draw(st.floats(0.0, 0.3)),
        fidelity_tolerance=draw(st.floats(0.0, 0.3)),
        excess=draw(st.floats(0.01, 1.0)),
        change=draw(st.floats(0.01, 0.6)),
        reduction_max=draw(st.floats(0.0, 0.9)),
        recovered_checks=draw(st.integers(1, 4)),
        ladder=tuple(draw(st.lists(rungs, max_size=7))),
    )


phases = st.lists(
    st.tuples(
        st.integers(50, 4_000), st.just(0.0) | st.floats(0.1, 60.0), st.floats(0.3, 1.0), st.booleans()
    ),
    min_size=1,
    max_size=8,
)
"""Milliseconds, pairs per second, their fidelity, and whether plans are found."""


@settings(max_examples=60, deadline=None)
@given(rules=rules(), story=phases, rate=st.booleans(), fidelity=st.booleans(), restart=st.integers(-1, 8))
def test_no_history_makes_the_monitor_hasty_or_lets_a_threshold_out_of_its_bounds(
    rules: MonitorSettings,
    story: list[tuple[int, float, float, bool]],
    rate: bool,
    fidelity: bool,
    restart: int,
) -> None:
    source = Monitored(
        rules,
        rate_threshold_hz=ASKED_HZ if rate else None,
        fidelity_threshold=ASKED_FIDELITY if fidelity else None,
    )
    for number, (duration_ms, rate_hz, seen_fidelity, can_plan) in enumerate(story):
        source.can_plan = can_plan
        source.run(duration_ms * MS, rate_hz, seen_fidelity)
        if number == restart:
            source.restart()
            source.settle()
    durations = Durations.of(rules, LATENCY_NS)
    acted = source.acted
    for earlier, later in pairwise(acted):
        gap_ns = later.at_ns - earlier.at_ns
        assert gap_ns >= durations.cooldown
        if earlier.action == "suspend":
            assert gap_ns >= durations.suspension, "a suspension is no under-performance"
        assert earlier.action != "terminate"
    for one in acted:
        if one.rate_wanted_hz is not None:
            assert max(0.0, ASKED_HZ * (1.0 - rules.reduction_max) * (1 - 1e-9)) < one.rate_wanted_hz
            assert one.rate_wanted_hz <= ASKED_HZ
        if one.fidelity_wanted is not None:
            assert max(0.5, ASKED_FIDELITY * (1.0 - rules.reduction_max) * (1 - 1e-9)) < one.fidelity_wanted
            assert one.fidelity_wanted <= ASKED_FIDELITY
    assert not (acted and not rate and not fidelity)
    wanted = [each.rate_threshold_hz for each in source.in_force]
    assert all(each is None or 0.0 < each <= ASKED_HZ for each in wanted)
    final = [status for status, _, _ in source.statuses() if status == "failed"]
    assert len(final) == (acted[-1:] != [] and acted[-1].action == "terminate")


@settings(max_examples=40, deadline=None)
@given(
    rules=rules(samples_min=2, latencies_min=3.0),
    rate_hz=st.just(0.0) | st.floats(0.1, 0.9),
    can_plan=st.booleans(),
)
def test_what_never_reaches_even_the_lowest_terms_always_ends_with_one_failure(
    rules: MonitorSettings, rate_hz: float, can_plan: bool
) -> None:
    """At most 0.9 pairs/s, where 100 pairs/s were asked for and 7 pairs/s would do when 90 % is taken off and
    30 % tolerated: no window of 0.3 s, or of two pairs, shows as much."""
    source = Monitored(rules, rate_threshold_hz=100.0)
    source.can_plan = can_plan
    durations = Durations.of(rules, LATENCY_NS)
    rungs = len(rules.ladder) + 1
    each_ns = durations.cooldown + durations.least + SECOND
    suspensions = rules.ladder.count("suspend") * (durations.suspension + durations.least)
    source.run(rungs * each_ns + suspensions + 10 * SECOND, rate_hz)
    assert source.actions[-1] == "terminate"
    assert len(source.acted) <= rungs
    assert [status for status, _, _ in source.statuses()].count("failed") == 1
    assert source.machine.next_deadline_ns is None
    assert all(one.action != "terminate" for one in source.acted[:-1])
