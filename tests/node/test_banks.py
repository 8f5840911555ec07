"""Slots of a bank: any of them serves any lane of any link of the bank, and emitters limit who attempts."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End
from bellwire.core.settings import NetworkSettings
from bellwire.node.slots import SlotTable
from tests.link_layer.shared_bench import star

LINKS = ("l0", "l1", "l2")
LANES = 2
SLOTS = 3


def hub(*, emitters: int | None = None) -> SlotTable:
    some = {} if emitters is None else {"hub": emitters}
    return SlotTable(star(3, banks={"hub": SLOTS}, lanes=LANES, emitters=some), "hub")


def end_of(link: str, attempt: int, lane: int = 0) -> End:
    return End(link, 1, attempt, lane, 0)


def test_a_free_slot_serves_whichever_lane_asks() -> None:
    table = hub()
    assert all(table.of_lane(link, 0) is None for link in LINKS)
    for number, link in enumerate(LINKS):
        slot = table.attempt_on(link, 1)
        assert slot is not None
        assert (slot.index, slot.link, slot.lane, slot.state) == (number, link, 1, "attempting")
        assert table.of_lane(link, 1) is slot
    assert table.attempt_on("l0", 0) is None


def test_all_links_of_a_bank_may_use_the_same_slots_and_each_slot_is_listed_once() -> None:
    table = hub()
    assert [slot.index for slot in table.slots()] == [0, 1, 2]
    assert all(table.of_link(link) == table.slots() for link in LINKS)


def test_a_lane_lets_go_of_its_slot_when_its_pair_is_born_and_may_take_another() -> None:
    table = hub()
    first = table.attempt_on("l0", 0)
    assert first is not None
    table.hold(first.index, end_of("l0", 1), "r", 0, 5)
    assert table.of_lane("l0", 0) is None
    second = table.attempt_on("l0", 0)
    assert second is not None
    assert second is not first
    assert table.of_lane("l0", 0) is second
    assert (first.link, first.state) == ("l0", "held")
    table.free(first.index)
    assert table.of_lane("l0", 0) is second


@pytest.mark.parametrize("change", ["stand_down", "free", "lose"])
def test_a_slot_that_stops_to_attempt_serves_no_lane(change: str) -> None:
    table = hub()
    slot = table.attempt_on("l1", 1)
    assert slot is not None
    getattr(table, change)(slot.index)
    assert table.of_lane("l1", 1) is None


def test_a_lane_takes_no_second_slot_while_it_attempts() -> None:
    table = hub()
    slot = table.attempt_on("l0", 0)
    assert slot is not None
    assert table.attempt_on("l0", 0) is None
    assert [one.state for one in table.slots()] == ["attempting", "free", "free"]


def test_no_more_slots_attempt_than_there_are_emitters() -> None:
    table = hub(emitters=2)
    taken = [table.attempt_on(link, 0) for link in LINKS]
    assert [slot is not None for slot in taken] == [True, True, False]
    assert taken[0] is not None
    table.hold(taken[0].index, end_of("l0", 1), "r", 0, 5)  # a qubit that is held needs no emitter
    assert table.attempt_on("l2", 0) is not None


def test_emitters_limit_slots_of_lanes_of_their_own_too() -> None:
    table = SlotTable(star(2, banks={}, emitters={"hub": 1}), "hub")
    own = table.of_lane("l0", 0)
    assert table.attempt_on("l0", 0) is own
    assert table.attempt_on("l1", 0) is None
    assert own is not None
    table.stand_down(own.index)
    assert table.attempt_on("l1", 0) is table.of_lane("l1", 0)


def test_a_slot_is_of_a_bank_or_of_a_lane_but_not_both() -> None:
    network: NetworkSettings = star(2, banks={"hub": 2})
    link = network.links["l1"]
    side = link.nodes.index("hub")
    shared = (False, link.shared[1]) if side == 0 else (link.shared[0], False)
    slots = ((0,), link.slots[1]) if side == 0 else (link.slots[0], (0,))
    network.links["l1"] = msgspec.structs.replace(link, shared=shared, slots=slots)
    with pytest.raises(LocalMisuse):
        SlotTable(network, "hub")


class BankHistory(RuleBasedStateMachine):
    """Any order of changes: a lane has at most one slot, a slot at most one lane, and a held one none."""

    def __init__(self) -> None:
        super().__init__()
        self.table = hub(emitters=2)
        self.attempt = 0

    def states(self, *states: str) -> list[int]:
        return [slot.index for slot in self.table.slots() if slot.state in states]

    @rule(link=st.sampled_from(LINKS), lane=st.integers(0, LANES - 1))
    def attempts(self, link: str, lane: int) -> None:
        before = len(self.states("attempting"))
        could = before < 2 and bool(self.states("free")) and self.table.of_lane(link, lane) is None
        assert (self.table.attempt_on(link, lane) is not None) == could

    @precondition(lambda self: self.states("attempting"))
    @rule(data=st.data(), change=st.sampled_from(["hold", "stand_down", "lose"]))
    def ends(self, data: st.DataObject, change: str) -> None:
        index = data.draw(st.sampled_from(self.states("attempting")))
        slot = self.table.slot(index)
        self.attempt += 1
        if change == "hold":
            self.table.hold(index, end_of(slot.link, self.attempt, slot.lane), "r", 0, 0)
        else:
            getattr(self.table, change)(index)

    @precondition(lambda self: self.states("held", "lost"))
    @rule(data=st.data())
    def frees(self, data: st.DataObject) -> None:
        self.table.free(data.draw(st.sampled_from(self.states("held", "lost"))))

    @invariant()
    def lanes_and_slots_agree(self) -> None:
        serving = {}
        for link in LINKS:
            for lane in range(LANES):
                slot = self.table.of_lane(link, lane)
                if slot is not None:
                    assert (slot.link, slot.lane, slot.state) == (link, lane, "attempting")
                    assert slot.index not in serving
                    serving[slot.index] = (link, lane)
        assert sorted(serving) == self.states("attempting")
        assert len(serving) <= 2


TestBankHistory = BankHistory.TestCase
TestBankHistory.settings = settings(max_examples=40, stateful_step_count=30, deadline=None, derandomize=True)
