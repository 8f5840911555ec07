"""Tags of the FPGA to blocks, worked out by hand, and faults planted one by one."""

from __future__ import annotations

from typing import Any

import pytest

from bellwire.drivers import fpga_tag_stream
from bellwire.drivers.device_clock import Clock
from bellwire.drivers.frames import Bound, Events, Lost, RecordKind, TagWords
from tests.simulator_backend.devices.planting import assert_harmless_changes_pass, noticed_by, plant

CLOCK = Clock(8_000_000, 3)


def stream(*offsets: int) -> fpga_tag_stream.FpgaTagStream:
    one = fpga_tag_stream.FpgaTagStream("tagger")
    one.listen(CLOCK, offsets or (0, 0), 5)
    one.begin(1000)
    return one


def feed(one: Any, *tags: tuple[int, int], epoch: int = 5) -> None:
    records = tuple(TagWords(stamp, channel, 0).pack() for stamp, channel in tags)
    one.take_events(Events(0, 0, epoch, records, RecordKind.TAG))


def bound(one: Any, stamp: int, lost: int = 0, epoch: int = 5, kind: RecordKind = RecordKind.TAG) -> None:
    one.take_bound(Bound(0, epoch, stamp, 0, lost, 1, 0, 0, kind))


def told(one: Any) -> list[tuple[Any, ...]]:
    return [
        (b.epoch, b.start_ps, b.stop_ps, b.time_ps.tolist(), b.channel.tolist(), b.lost)
        for b in one.queue._waiting
    ]


def a_block_ends_at_its_bound() -> None:
    one = stream()
    feed(one, (990, 0), (1000, 1), (1099, 0), (1100, 1))
    assert told(one) == []
    bound(one, 1099)
    bound(one, 1199)
    assert told(one) == [
        (5, 1_000_000, 1_100_000, [1_000_000, 1_099_000], [2, 1], ()),
        (5, 1_100_000, 1_200_000, [1_100_000], [2], ()),
    ]
    assert one._tags == []


def a_bound_that_says_nothing_new_makes_no_block() -> None:
    one = stream()
    bound(one, 1099)
    bound(one, 1099)
    bound(one, 1050)
    bound(one, 2000, kind=RecordKind.DECISION)
    assert len(told(one)) == 1


def moved_tags_wait_for_those_that_overtake_them() -> None:
    one = stream(50, -20)
    feed(one, (1000, 0), (1060, 1), (1090, 1))
    bound(one, 1099)
    assert told(one) == [(5, 1_050_000, 1_080_000, [1_050_000, 1_070_000], [1, 2], ())]
    feed(one, (1100, 0), (1120, 1))
    bound(one, 1199)
    assert told(one)[1:] == [(5, 1_080_000, 1_180_000, [1_100_000, 1_150_000], [2, 1], ())]


def losses_are_cut_to_their_block_and_reach_into_the_next() -> None:
    one = stream()
    one.take_lost(Lost(900, 998, 2, 0, RecordKind.TAG))
    bound(one, 1009, lost=2)
    one.take_lost(Lost(1050, 1149, 7, 0, RecordKind.TAG))
    one.take_lost(Lost(5, 9, 5, 0, RecordKind.DECISION))
    bound(one, 1099, lost=9)
    bound(one, 1199, lost=9)
    bound(one, 1299, lost=9)
    assert [entry[5] for entry in told(one)] == [
        (),
        ((1_050_000, 1_100_000),),
        ((1_100_000, 1_150_000),),
        (),
    ]


def a_loss_that_nobody_heard_takes_the_whole_block() -> None:
    one = stream()
    bound(one, 1009, lost=3)  # from before our time
    bound(one, 1099, lost=4)
    bound(one, 1199, lost=4)
    assert [entry[5] for entry in told(one)] == [(), ((1_010_000, 1_100_000),), ()]


def records_that_are_gone_take_the_whole_block_and_what_delays_move_out_of_it() -> None:
    one = stream(0, 30)
    bound(one, 1099)
    one.take_gap()
    bound(one, 1199)
    bound(one, 1299)
    assert [entry[5] for entry in told(one)] == [
        (),
        ((1_100_000, 1_200_000),),
        ((1_200_000, 1_230_000),),
    ]


def another_epoch_begins_another_stream() -> None:
    one = stream()
    feed(one, (1050, 0))
    bound(one, 1019)
    bound(one, 1099, epoch=6)
    feed(one, (1110, 0), epoch=5)
    feed(one, (1120, 1), epoch=6)
    bound(one, 1199, epoch=6)
    assert [(entry[0], entry[1], entry[3]) for entry in told(one)] == [
        (5, 1_000_000, []),
        (6, 1_100_000, [1_120_000]),
    ]


def a_stream_goes_on_only_with_the_same_clock_delays_and_epoch() -> None:
    one = stream()
    assert one.goes_on(CLOCK, (0, 0), 5)
    assert not one.goes_on(CLOCK, (0, 1), 5)
    assert not one.goes_on(CLOCK, (0, 0), 6)
    one.forget()
    assert not one.goes_on(CLOCK, (0, 0), 5)


DIRECTED = [
    a_block_ends_at_its_bound,
    a_bound_that_says_nothing_new_makes_no_block,
    moved_tags_wait_for_those_that_overtake_them,
    losses_are_cut_to_their_block_and_reach_into_the_next,
    a_loss_that_nobody_heard_takes_the_whole_block,
    records_that_are_gone_take_the_whole_block_and_what_delays_move_out_of_it,
    another_epoch_begins_another_stream,
    a_stream_goes_on_only_with_the_same_clock_delays_and_epoch,
]

PLANTED: dict[str, tuple[str, str]] = {
    "block one unit short": ("until = bound.decided_to + 1 +", "until = bound.decided_to +"),
    "tags of before": ("if begin <= tag[0] < until", "if tag[0] < until"),
    "tags handed over twice": ("if tag[0] >= until]", "if tag[0] >= begin]"),
    "delays not waited for": ("+ 1 + min(self._offsets)\n", "+ 1\n"),
    "start too early for delays": ("self._from = start + max(self._offsets)", "self._from = start"),
    "delays forgotten": ("tag.stamp + self._offsets[tag.channel]", "tag.stamp"),
    "losses of attempts": ("if lost.kind == RecordKind.TAG:", "if True:"),
    "loss forgotten at the end of its block": ("if stop > until]", "if False]"),
    "loss told twice": ("if start < until and stop > begin", "if start < until"),
    "loss one unit short": ("+ max(self._offsets) + 1))", "+ max(self._offsets)))"),
    "unheard loss overlooked": ("if bound.lost - self._lost_heard != self._lost_told:", "if False:"),
    "gap overlooked": ("self._gap = True\n\n    def take_bound", "pass\n\n    def take_bound"),
    "gap never ends": ("            self._gap = False\n        self._close", "        self._close"),
    "gap without delays": ("until + max(self._offsets) - min(self._offsets)", "until"),
    "epochs mixed": ("or events.time_epoch != self._epoch:", "or False:"),
    "epoch of the bound ignored": ("if bound.time_epoch != self._epoch:", "if False:"),
    "bounds of attempts": ("if bound.kind != RecordKind.TAG or", "if"),
    "unsorted": ("ready = sorted(tag", "ready = list(tag"),
}


@pytest.mark.parametrize("case", DIRECTED, ids=lambda case: case.__name__)
def test_blocks_say_what_is_known(case: Any) -> None:
    case()


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, fpga_tag_stream, PLANTED[fault])
    assert noticed_by(DIRECTED), f"no directed case noticed: {fault}"


def test_the_module_planted_without_a_fault_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_harmless_changes_pass(monkeypatch, fpga_tag_stream, DIRECTED)
