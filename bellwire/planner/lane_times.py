"""How long a link takes for a pair, lane by lane, and what state the pair is in.

Owns the two figures of one link from which every plan begins. Refuses choices: which link and which operating
point is usable.py's and points.py's.
"""

from bellwire.core.bell import Bell, Walsh, from_walsh
from bellwire.core.settings import LinkSettings
from bellwire.core.units import s_from_ns


def lane_latency_s(link: LinkSettings) -> float:
    """Mean time from one pair of a lane to the next, while its memories are emptied at once.

    (1/q - 1) failed attempts of one period each, and the periods that pass until the successful one is known
    at both ends: the next attempt waits for the start of a period. Pairs that are measured as tests are not
    delivered: their share of the time is lost.
    """
    periods = 1.0 / link.success_probability - 1.0 + decided_periods(link)
    return periods * s_from_ns(link.period_ns) / (1.0 - link.test_share)


def decided_periods(link: LinkSettings) -> int:
    """Whole attempt periods from the start of an attempt until both ends know what it gave, 1 or more."""
    decided_ns = link.click_delay_ns + max(link.herald_delay_ns)
    return max(1, -(-decided_ns // link.period_ns))


def link_latency_s(link: LinkSettings) -> float:
    """T_link: mean seconds per pair while all lanes are free to attempt."""
    return lane_latency_s(link) / link.lanes


def link_state(link: LinkSettings) -> Bell:
    """Mean state of a fresh pair relative to its herald's frame; herald codes come equally often."""
    states = [from_walsh(Walsh(herald.signs, herald.cost)) for herald in link.heralds]
    n = len(states)
    a, b, c, d = (sum(state[index] for state in states) / n for index in range(4))
    return (a, b, c, d)
