"""The terms of an attempt window, all but its time: what both ends agree on beside which attempts it covers.

Owns the value and its comparison with a window. Refuses to choose: schedulers divide lanes, the fidelity
estimate chooses the operating point, the arbiter of shared memories grants turns.
"""

from typing import NamedTuple

from bellwire.core.link_messages import ScheduleEntry, Window
from bellwire.core.settings import LinkSettings

TEST_SHARE_WHOLE = 1 << 16
"""Of so many heralds, `Window.test_share` are measured as tests."""


class Terms(NamedTuple):
    """What a window says beside its attempts."""

    owners: tuple[ScheduleEntry, ...]  # whom the first lanes serve
    cycle: tuple[ScheduleEntry, ...]  # what the other lanes go through
    point: int = 0  # operating point
    test_share: int = 0  # of TEST_SHARE_WHOLE
    granted: tuple[int, ...] = ()  # turns of a cycle, empty: always
    anchored: bool = False  # the cycle is a calendar of the run, see `Window.anchored`
    rest: bool = False  # nobody attempts, see `Window.rest`


def terms_of(window: Window) -> Terms:
    """The terms of a window."""
    return Terms(
        window.owners,
        window.schedule,
        window.point,
        window.test_share,
        window.granted,
        window.anchored,
        window.rest,
    )


def terms_fault(window: Window, link: LinkSettings) -> str | None:
    """What is wrong with the operating point or the share of tests of a window; None when nothing is."""
    if not 0 <= window.point < max(1, len(link.points)):
        return f"operating point {window.point} of {max(1, len(link.points))}"
    if not 0 <= window.test_share <= TEST_SHARE_WHOLE or (window.test_share and not link.test_share):
        return f"{window.test_share} of {TEST_SHARE_WHOLE} as tests; the link's share is {link.test_share}"
    return None
