"""Schedules drawn at random, and a link of round numbers."""

from functools import partial

from hypothesis import strategies as st

from bellwire.core.settings import HeraldEstimate, LinkSettings
from bellwire.planner.calendar.admission import Route, Schedule
from bellwire.planner.calendar.bookings import Claim
from bellwire.planner.calendar.frames import Frame, LinkNeed

LINK_SETTINGS = partial(
    LinkSettings,
    link="ab",
    nodes=("a", "b"),
    station=None,
    lanes=1,
    slots=((0,), (0,)),
    success_probability=0.1,
    heralds=(HeraldEstimate(code=1, frame=0, signs=0, cost=(0, 0, 0)),),
    length_km=0.0,
)

NODES = "abcdef"


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Schedule, list[Route]]:
    """A chain of up to five links; some nodes have one emitter for all their links, some links a setting of
    one switch; calibrations that do not meet; requests over stretches of the chain."""
    count = draw(st.integers(1, 5))
    slots = draw(st.integers(2, 12))
    frame = Frame(10_000, slots)
    shared = draw(st.sets(st.sampled_from(NODES[: count + 1])))
    switched = draw(st.sets(st.integers(0, count - 1)))
    east = draw(st.integers(0, count))
    needs: dict[str, LinkNeed] = {}
    for index in range(count):
        ends = (NODES[index], NODES[index + 1])
        claims = [
            Claim(f"lanes:{''.join(ends)}"),
            *(Claim(f"emitters:{node}") for node in ends if node in shared),
        ]
        if index in switched:
            claims.append(Claim("switch:s", draw(st.sampled_from("12"))))
        name = "".join(ends)
        owner = "w" if index < east else "e"
        needs[name] = LinkNeed(name, ends, tuple(claims), 1_000, draw(st.integers(0, 5_000)), 500, owner)
    names = list(needs)
    calibrations: dict[str, tuple[int, ...]] = {}
    calibrated = draw(st.lists(st.sampled_from(names), unique=True, max_size=slots - 1))
    for slot, name in enumerate(calibrated):
        calibrations[name] = (slot,)
    routes: list[Route] = []
    for number in range(draw(st.integers(0, 7))):
        first = draw(st.integers(0, count - 1))
        last = draw(st.integers(first, min(count - 1, first + 2)))
        links = names[first : last + 1]
        alone = all(
            {claim.resource for claim in needs[one].claims}.isdisjoint(
                claim.resource for claim in needs[other].claims
            )
            for place, one in enumerate(links)
            for other in links[:place]
        )
        routes.append(
            Route(
                request=f"r{number}",
                rate_hz=draw(st.floats(1e3, 6e4)),
                phases=(tuple(links),) if alone else tuple((link,) for link in links),
                pairs_hz=draw(st.floats(2e4, 2e5)),
                lost_ns=draw(st.integers(0, 9_000)),
                pairs_per_round=0.0 if alone else draw(st.floats(0.1, 2.0)),
            )
        )
    return Schedule(frame, needs, calibrations, "w"), routes
