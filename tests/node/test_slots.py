"""Every change of a slot against every state: what the table allows happens, all else is our bug."""

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End
from bellwire.core.settings import NetworkSettings
from bellwire.node.slots import Slot, SlotTable
from tests.node.networks import chain

END = End("a-r", 1, 5, 0, 0)
OTHER = End("a-r", 1, 6, 1, 0)

STATES = ("free", "attempting", "held", "measuring", "offered", "resting", "lost")
"""All that can be reached; `locked` is reserved for purification, which no change enters yet."""

LEGAL = {
    ("free", "attempt"): "attempting",
    ("attempting", "stand_down"): "free",
    ("attempting", "hold"): "held",
    ("held", "measure"): "measuring",
    ("held", "offer"): "offered",
    ("measuring", "rest"): "resting",
    **{(state, "free"): "free" for state in STATES if state != "free"},
    **{(state, "lose"): "lost" for state in STATES},
}
"""(state, change) -> state after; written down from core.view, not read from the table under test."""

CHANGES = ("attempt", "stand_down", "hold", "measure", "offer", "rest", "free", "lose")
HOLDING = ("held", "measuring", "offered")


def change(table: SlotTable, name: str, index: int = 0, end: End = END) -> None:
    if name == "hold":
        table.hold(index, end, "r", 0, 77)
    else:
        getattr(table, name)(index)


def brought_to(state: str) -> SlotTable:
    """A table whose slot 0 is in that state."""
    table = SlotTable(chain(), "a")
    ways: dict[str, tuple[str, ...]] = {
        "free": (),
        "attempting": ("attempt",),
        "held": ("attempt", "hold"),
        "measuring": ("attempt", "hold", "measure"),
        "offered": ("attempt", "hold", "offer"),
        "resting": ("attempt", "hold", "measure", "rest"),
        "lost": ("lose",),
    }
    for step in ways[state]:
        change(table, step)
    assert table.slot(0).state == state
    return table


def seen(slot: Slot) -> tuple[object, ...]:
    return (slot.state, slot.generation, slot.end, slot.request, slot.tree, slot.born_ns)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_made_exactly_where_it_is_legal(state: str, name: str) -> None:
    table = brought_to(state)
    before = seen(table.slot(0))
    after = LEGAL.get((state, name))
    if after is None:
        with pytest.raises(LocalMisuse, match=f"a: {name} is not allowed on slot 0"):
            change(table, name)
        assert seen(table.slot(0)) == before
    else:
        change(table, name)
        assert table.slot(0).state == after
    held = table.slot(0).state in HOLDING
    assert table.slot(0).end == (END if held else None)
    assert table.holding(END) is (table.slot(0) if held else None)


def test_no_end_is_ever_in_two_slots() -> None:
    table = brought_to("held")
    table.attempt(1)
    with pytest.raises(LocalMisuse, match="already in slot 0"):
        change(table, "hold", 1, END)
    assert table.slot(1).state == "attempting"
    change(table, "hold", 1, OTHER)
    assert table.holding(OTHER) is table.slot(1)


@pytest.mark.parametrize("state", HOLDING)
def test_an_end_that_has_left_its_slot_can_be_found_no_more(state: str) -> None:
    table = brought_to(state)
    table.free(0)
    assert table.holding(END) is None
    table.attempt(1)
    change(table, "hold", 1, END)
    assert table.holding(END) is table.slot(1)


def test_every_attempt_is_a_new_generation_and_nothing_else_is() -> None:
    table = SlotTable(chain(), "a")
    assert table.attempt(0) == 1
    change(table, "hold")
    table.measure(0)
    table.rest(0)
    table.free(0)
    assert table.slot(0).generation == 1
    assert table.attempt(0) == 2
    table.stand_down(0)
    assert table.attempt(0) == 3
    assert table.slot(1).generation == 0


def test_a_held_slot_knows_its_purpose_and_a_resting_one_only_its_request() -> None:
    table = brought_to("held")
    assert seen(table.slot(0)) == ("held", 1, END, "r", 0, 77)
    table.measure(0)
    table.rest(0)
    assert table.slot(0).request == "r"
    assert table.slot(0).end is None
    table.free(0)
    assert table.slot(0).request is None


def test_slots_are_listed_by_number_whatever_the_order_of_the_links() -> None:
    table = SlotTable(chain(), "r")
    assert [slot.index for slot in table.slots()] == [0, 1, 2, 3]
    assert [(slot.link, slot.lane) for slot in table.slots()] == [
        ("r-b", 0),
        ("r-b", 1),
        ("a-r", 0),
        ("a-r", 1),
    ]
    assert table.of_lane("a-r", 1) is table.slot(3)


def test_a_slot_that_serves_two_lanes_is_refused() -> None:
    network: NetworkSettings = chain()
    link = network.links["a-r"]
    fields = {name: getattr(link, name) for name in link.__struct_fields__}
    fields["slots"] = ((0, 1), (1, 2))
    network.links["a-r"] = type(link)(**fields)
    with pytest.raises(LocalMisuse, match="r: slot 1 serves two lanes"):
        SlotTable(network, "r")
