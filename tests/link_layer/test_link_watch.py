"""When side 0 says that its link makes no pairs, and when it takes that back."""

import msgspec
import pytest

from bellwire.core.errors import PeerViolation
from bellwire.core.events import DeviceChanged
from bellwire.core.link_messages import AttemptsTold, AttemptsWanted, HeraldBound
from bellwire.core.notices import LinkStateTold
from bellwire.core.settings import LinkSettings
from bellwire.link_layer.link_watch import (
    DOUBT_STEP,
    FILE_DOUBT,
    MISSED_MAX,
    MISSED_SEEN,
    SEEN_LEAST,
    SILENCE_FIRST_NS,
    SILENCE_LEAST_NS,
)
from tests.link_layer.bench import MS, Channel, LinkBench
from tests.link_layer.lone import RUN, LoneEnd, window

SECOND = 1000 * MS
GOOD = Channel()


class Watched(LinkBench):
    """A bench on which the light of the link can go out."""

    light = True

    def _hardware(self) -> None:
        link = self.link
        if not self.light:
            self.link = slower(link, 0.0)
        super()._hardware()
        self.link = link

    def down(self) -> str:
        return self.services["a"].ends["a-b"].down()


def slower(link: LinkSettings, probability: float) -> LinkSettings:
    return msgspec.structs.replace(link, success_probability=probability)


def wanted(*, station: bool = True, channel: Channel = GOOD, held_for_ns: int = 2 * MS) -> Watched:
    bench = Watched(7, station=station, channel=channel, held_for_ns=held_for_ns)
    for node in ("a", "b"):
        bench.want(node, "r")
    bench.run(SECOND)
    assert bench.heralds > 200
    return bench


@pytest.mark.parametrize("station", [True, False])
def test_a_link_that_goes_dark_is_down_after_two_seconds_and_up_with_its_first_herald(station: bool) -> None:
    bench = wanted(station=station)
    bench.light = False
    bench.run(SECOND + SILENCE_LEAST_NS // 2)
    assert bench.down() == ""
    bench.run(4 * SECOND)
    attempts = int(bench.down().split()[3])
    assert attempts * bench.link.success_probability / FILE_DOUBT >= MISSED_MAX
    bench.light = True
    bench.run(4 * SECOND + 50 * MS)
    assert bench.down() == ""


def test_an_end_whose_partner_keeps_its_qubits_judges_nothing() -> None:
    """Pairs that are swapped away here and wait there leave the lanes of one end free: it attempts alone."""
    bench = wanted()
    bench.sinks["b"][-1].held_for_ns = 10**15
    bench.run(10 * SECOND)
    at_work = bench.services["a"].ends["a-b"]
    assert at_work.lanes.attempting_from(0) is not None
    before = bench.heralds
    bench.run(12 * SECOND)
    assert bench.heralds == before  # nothing has been made for long
    assert bench.down() == ""


def test_a_silent_station_takes_its_link_down() -> None:
    bench = wanted()
    bench.silence_station()
    bench.run(6 * SECOND)
    assert bench.down() == "station m says nothing"


def test_an_idle_link_that_is_down_is_tried_now_and_then_until_it_makes_a_pair() -> None:
    bench = wanted()
    bench.light = False
    bench.run(4 * SECOND)
    for node in ("a", "b"):
        bench.drop(node, "r")
    bench.run(30 * SECOND)
    assert bench.down().startswith("no herald")
    trials = bench.services["a"].ends["a-b"].counters["trials"]
    assert trials == 3
    bench.light = True
    bench.run(45 * SECOND)
    assert bench.down() == ""
    tried = bench.services["a"].ends["a-b"].counters["trials"]
    bench.run(90 * SECOND)
    assert bench.services["a"].ends["a-b"].counters["trials"] == tried == trials + 1


def side_zero() -> LoneEnd:
    end = LoneEnd("a", station=True)
    end.want(0, "r")
    offer = end.end.keeper.offered
    assert offer is not None
    return end


def test_a_lost_memory_takes_the_links_of_its_node_down_and_its_return_ends_that() -> None:
    end = side_zero()
    told: list[LinkStateTold] = []
    end.end.state_told = lambda step, link, down: told.append(
        LinkStateTold(link=link, state="down" if down else "up", reason=down)
    )
    end.tell(MS, DeviceChanged(role="memory", ready=False, lost_state=True, reason="power"))
    end.tell(2 * MS, DeviceChanged(role="memory", ready=False, lost_state=False, reason="still"))
    end.tell(3 * MS, DeviceChanged(role="memory", ready=True, lost_state=False, reason=""))
    assert [(each.state, each.reason) for each in told] == [
        ("down", "the memory of a does not work"),
        ("up", ""),
    ]


def test_side_1_says_since_when_its_lanes_attempt_and_side_0_asks_nobody_for_it() -> None:
    end = LoneEnd("b", station=True)
    end.want(0, "r")
    end.offered(0, window(0, 9_999, 1, "r"))
    end.take()
    end.hear(MS, "a", AttemptsWanted(link="a-b", run=RUN))
    (told,) = end.sent(AttemptsTold, "a")
    assert told.leases == (0, 0, 0)
    end.take()
    end.hear(MS, "a", AttemptsWanted(link="a-b", run=RUN + 1))
    assert end.sent(AttemptsTold) == []  # of another run it cannot speak
    with pytest.raises(PeerViolation, match="only side 0"):
        side_zero().hear(MS, "b", AttemptsWanted(link="a-b", run=RUN))
    with pytest.raises(PeerViolation, match="2 lanes"):
        side_zero().hear(MS, "b", AttemptsTold(link="a-b", run=RUN, leases=(0, 0)))


def test_a_link_of_which_nothing_was_measured_may_be_slower_than_its_file_says() -> None:
    bench = Watched(7, station=True, channel=GOOD)
    bench.light = False
    for node in ("a", "b"):
        bench.want(node, "r")
    bench.run(SILENCE_FIRST_NS)
    assert bench.down() == ""
    bench.run(SILENCE_FIRST_NS + SECOND)
    attempts, expected = (float(bench.down().split()[place]) for place in (3, 7))
    assert expected == pytest.approx(attempts * bench.link.success_probability / FILE_DOUBT, abs=0.5)


def test_a_link_that_goes_dark_after_few_heralds_is_found_dark_all_the_same() -> None:
    """What is missed must not count into what is usual: 20 heralds would never lead to 40 missed ones."""
    bench = Watched(7, station=True, channel=GOOD)
    for node in ("a", "b"):
        bench.want(node, "r")
    while bench.heralds < SEEN_LEAST + 1:
        bench.run(bench.now_ns + MS)
    bench.light = False
    bench.run(bench.now_ns + 4 * SECOND)
    assert bench.down().startswith("no herald")


def test_what_was_seen_needs_fewer_missed_heralds_than_what_a_file_says() -> None:
    bench = wanted(held_for_ns=0)
    watch = bench.services["a"].ends["a-b"]._watch
    seen = watch._seen()
    usual = bench.link.success_probability
    assert 0.6 * usual < seen < usual  # three standard errors below 100 to 200 heralds
    enough = int(MISSED_SEEN / seen) + 1
    assert enough * usual / FILE_DOUBT < MISSED_MAX
    assert watch._too_many(enough)
    assert not watch._too_many(enough - 2)
    watch._heralds = SEEN_LEAST - 1
    assert not watch._too_many(int(FILE_DOUBT * MISSED_MAX / usual) - 1)
    assert watch._too_many(int(FILE_DOUBT * MISSED_MAX / usual) + 1)


def test_a_verdict_that_a_herald_takes_back_makes_the_next_one_slower() -> None:
    """A link that is far slower than its file says must not be called dark between every two heralds."""
    bench = Watched(7, station=True, channel=GOOD)
    for node in ("a", "b"):
        bench.want(node, "r")
    bench.light = False
    for doubt in (FILE_DOUBT, FILE_DOUBT * DOUBT_STEP):
        while not bench.down():
            bench.run(bench.now_ns + 100 * MS)
        attempts, expected = (float(bench.down().split()[place]) for place in (3, 7))
        assert expected == pytest.approx(attempts * bench.link.success_probability / doubt, abs=0.5)
        bench.light = True
        while bench.down():
            bench.run(bench.now_ns + MS)
        bench.light = False
    watch = bench.services["a"].ends["a-b"]._watch
    assert watch._doubt == FILE_DOUBT * DOUBT_STEP**2
    bench.light = True
    bench.run(bench.now_ns + SECOND)  # it was dark, and not slow: its file is believed again
    assert watch._doubt == FILE_DOUBT


def test_a_link_that_became_five_times_slower_is_not_down() -> None:
    """Gaps of 2 s do not come with 100 heralds in a second; 600 gaps are seen here."""
    bench = wanted(held_for_ns=0)
    bench.link = slower(bench.link, bench.link.success_probability / 5)
    bench.run(6 * SECOND)
    assert bench.heralds > 600
    assert bench.services["a"].ends["a-b"].counters["downs"] == 0


def test_a_bound_of_a_run_that_is_over_says_nothing() -> None:
    end = side_zero()
    end.hear(MS, "m", HeraldBound(link="a-b", run=RUN + 9, attempt=10**9, number=0, fences=(0, 0)))
    end.wait(2 * SECOND)
    assert end.end.down() == ""
