"""Tags of several nodes on one timeline: exact, complete about what is lost, and never across an epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.clock_offset import ClockOffset
from bellwire.drivers.clocks.merging import NodeTags, merge
from bellwire.drivers.time_tags import TagBlock

S = 10**12

CLOCK = ClockOffset(
    epoch=5,
    reference_epoch=2,
    at_ps=0,
    offset_ps=1000,
    rate_e15=0,
    sigma_ps=30,
    sigma_rate_e15=0,
    walk_fs=0,
    wander_e15=0,
    fitted_from_ps=0,
    fitted_until_ps=S,
    valid_from_ps=0,
    valid_until_ps=2 * S,
)


def block(
    epoch: int, start: int, stop: int, times: list[int], lost: tuple[tuple[int, int], ...] = ()
) -> TagBlock:
    channels = np.arange(1, len(times) + 1, dtype=np.int16)
    return TagBlock(epoch, start, stop, np.array(times, np.int64), channels, lost)


def test_tags_come_in_the_order_of_the_timeline_with_node_and_channel() -> None:
    merged = merge(
        [
            NodeTags("alice", [block(2, 0, 9000, [100, 1500, 8000])], None),
            NodeTags("bob", [block(5, 0, 8000, [0, 500, 501])], CLOCK),
        ]
    )
    assert merged.time_ps.tolist() == [100, 1000, 1500, 1500, 1501, 8000]
    assert merged.node.tolist() == [0, 1, 0, 1, 1, 0]  # at the same picosecond, in the order of the nodes
    assert merged.channel.tolist() == [1, 1, 2, 2, 3, 3]
    assert (merged.start_ps, merged.stop_ps, merged.reference_epoch) == (0, 9000, 2)
    assert merged.time_ps.dtype == np.int64
    assert merged.node.dtype == merged.channel.dtype == np.int16


def test_every_tag_is_kept_and_placed_exactly() -> None:
    """20000 tags of three nodes at 10 ppm: the same multiset as one by one in Python's integers."""
    chance = np.random.default_rng(4)
    clocks = [
        None,
        replace(CLOCK, rate_e15=9_999_999_999, offset_ps=-123_456_789),
        replace(CLOCK, rate_e15=-7_777_777_777, offset_ps=987_654_321_012, epoch=9),
    ]
    parts, expected = [], []
    for index, clock in enumerate(clocks):
        epoch = 2 if clock is None else clock.epoch
        times = np.sort(chance.integers(0, S, 20_000))
        channels = chance.integers(1, 5, 20_000).astype(np.int16)
        parts.append(NodeTags(f"n{index}", [TagBlock(epoch, 0, S, times, channels)], clock))
        expected += [
            (int(t) if clock is None else int(t) + clock.at(int(t))[0], index, int(c))
            for t, c in zip(times, channels, strict=True)
        ]
    merged = merge(parts)
    found = list(zip(merged.time_ps.tolist(), merged.node.tolist(), merged.channel.tolist(), strict=True))
    assert sorted(found) == sorted(expected)
    assert (np.diff(merged.time_ps) >= 0).all()


def test_losses_of_all_nodes_are_carried_over_and_united() -> None:
    merged = merge(
        [
            NodeTags("alice", [block(2, 1000, 9000, [], ((2000, 3000), (8000, 8500)))], None),
            NodeTags("bob", [block(5, 0, 8000, [], ((1500, 2500),))], CLOCK),
        ]
    )
    assert merged.lost == ((2000, 3500), (8000, 8500))


def test_what_a_node_did_not_record_is_lost() -> None:
    """A late start, a gap between two blocks, and an early end."""
    merged = merge(
        [
            NodeTags("alice", [block(2, 0, 4000, [1]), block(2, 4000, 9000, [5000])], None),
            NodeTags("bob", [block(5, 500, 2000, [600]), block(5, 2500, 7000, [2600])], CLOCK),
        ]
    )
    assert merged.lost == ((0, 1500), (3000, 3500), (8000, 9000))
    assert merged.time_ps.tolist() == [1, 1600, 3600, 5000]


def test_the_sigma_of_each_node_is_told_at_its_worst() -> None:
    tilted = replace(CLOCK, sigma_rate_e15=10**5)
    merged = merge(
        [
            NodeTags("alice", [block(2, 0, S, [1])], None),
            NodeTags("bob", [block(5, 0, S + 1, [1])], tilted),
            NodeTags("carol", [block(5, 0, S, [1])], CLOCK),
        ]
    )
    assert merged.sigma_ps == (0, round((30**2 + 100**2) ** 0.5), 30)
    assert merged.sigma_between("bob", "carol") == pytest.approx((104**2 + 30**2) ** 0.5)


def test_a_merge_across_an_epoch_is_refused() -> None:
    alice = NodeTags("alice", [block(2, 0, 9000, [1])], None)
    with pytest.raises(LocalMisuse, match="epoch 6"):
        merge([alice, NodeTags("bob", [block(6, 0, 8000, [1])], CLOCK)])
    with pytest.raises(LocalMisuse, match="epochs 5 and 6"):
        merge([alice, NodeTags("bob", [block(5, 0, 800, [1]), block(6, 800, 900, [801])], CLOCK)])
    with pytest.raises(LocalMisuse, match="epochs 2 and 3"):
        merge([NodeTags("carol", [block(2, 0, 9, []), block(3, 9, 20, [])], None), alice])
    with pytest.raises(LocalMisuse, match=r"different timelines \[2, 3\]"):
        merge(
            [NodeTags("alice", [block(3, 0, 9000, [1])], None), NodeTags("bob", [block(5, 0, 9, [])], CLOCK)]
        )


def test_a_merge_of_an_empty_block_of_another_epoch_is_refused_too() -> None:
    alice = NodeTags("alice", [block(2, 0, 9000, [1])], None)
    with pytest.raises(LocalMisuse, match="epoch 6"):
        merge([alice, NodeTags("bob", [block(6, 0, 8000, [])], CLOCK)])


@pytest.mark.parametrize(("start", "stop"), [(S, 2 * S + 1), (-1, S)])
def test_a_merge_beyond_the_validity_is_refused_even_without_tags_there(start: int, stop: int) -> None:
    alice = NodeTags("alice", [block(2, 0, 9000, [1])], None)
    with pytest.raises(LocalMisuse, match="known from"):
        merge([alice, NodeTags("bob", [block(5, start, stop, [])], CLOCK)])


def test_one_node_twice_or_alone_and_blocks_out_of_order_are_refused() -> None:
    alice = NodeTags("alice", [block(2, 0, 9000, [1])], None)
    bob = NodeTags("bob", [block(5, 100, 200, [150]), block(5, 199, 300, [250])], CLOCK)
    for parts in ([alice], [alice, alice], [alice, NodeTags("bob", [], CLOCK)]):
        with pytest.raises(LocalMisuse, match="two or more"):
            merge(parts)
    with pytest.raises(LocalMisuse, match="starts at 199"):
        merge([alice, bob])
