"""Labs whose stations have an FPGA and whose links follow a network schedule: what the devices cannot execute
is refused when the file is read.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.cli.schedule import document_of
from bellwire.core.errors import ConfigError
from bellwire.labs import Lab, load_lab
from bellwire.labs.slot_tables import period_steps_ns
from bellwire.runtime.slot_frames import attempt_numbers, table_of

LABS = Path(__file__).parents[1] / "lab_configs"

Change = Callable[[dict[str, Any]], None]


def loaded(folder: Path, change: Change, name: str = "scheduled_hub") -> Lab:
    sections = yaml.safe_load((LABS / f"{name}.yaml").read_text(encoding="utf-8"))
    change(sections)
    path = folder / "lab.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    return load_lab(path, live=True)


def as_fast_as_can_be(sections: dict[str, Any]) -> None:
    for link in sections["links"].values():
        del link["attempt_period_us"]


def every_other_slot(sections: dict[str, Any]) -> None:
    sections["schedule"] |= {"slots": 160, "calibrations": {"ann-hub": list(range(0, 160, 2))}}
    sections["requests"] = [{"id": "one", "from": "ann", "to": "hub", "duration_s": 20}]


def very_long(sections: dict[str, Any]) -> None:
    sections["schedule"] |= {"slot_ms": 2500, "slots": 16}
    sections["clock"] = {"whole_second": False}


def never_apart(sections: dict[str, Any]) -> None:
    sections["schedule"]["clock_sigma_us"] = 0
    for link in sections["links"].values():
        link["fibre_km"] = [0, 0]


def no_change(sections: dict[str, Any]) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            as_fast_as_can_be,
            r"lab\.yaml:1: schedule: slots of 50 ms have no whole number of attempts of ann-hub, whose "
            r"period of 60 us would become 80 us; give slot_ms another value, such as a multiple of 60 us; "
            r"periods of its station's FPGA are multiples of 32 ns",
        ),
        (
            every_other_slot,
            r"lab\.yaml:1: schedule: s1 cannot execute the slots of ann-hub: the 80 windows of link ann-hub "
            r"in a cycle need 80 rows of .*; the slot table of its station s1 has 64: give fewer and longer",
        ),
        (
            very_long,
            r"s1 cannot execute the slots of ann-hub: a frame of 5000000000 ticks, the device",
        ),
        (
            never_apart,
            r"attempts of link ann-hub are decided as they begin.* a clock_sigma_us above 0",
        ),
    ],
    ids=lambda one: one.__name__ if callable(one) else "",
)
def test_a_schedule_that_an_fpga_cannot_execute_is_refused_with_the_limit(
    change: Change, says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=says):
        loaded(tmp_path, change)


def test_the_shipped_lab_has_a_table_for_every_station(tmp_path: Path) -> None:
    lab = loaded(tmp_path, no_change)
    for link in lab.network.links.values():
        assert link.period_ns == 500_000
        numbers = attempt_numbers(link)
        assert numbers is not None
        assert numbers.cycle == 2000


def test_periods_are_lengthened_to_whole_ticks_of_every_lane(tmp_path: Path) -> None:
    """50 ms hold 128 times 390.625 us, a quarter of which is no whole number of 8 ns, or 125 times 400 us."""

    def odd(sections: dict[str, Any]) -> None:
        for link in sections["links"].values():
            link["attempt_period_us"] = 390.624

    def three_lanes(sections: dict[str, Any]) -> None:
        odd(sections)
        sections["links"]["ann-hub"]["lanes"] = 3

    lab = loaded(tmp_path, odd)
    assert {link.period_ns for link in lab.network.links.values()} == {400_000}
    with pytest.raises(ConfigError, match=r"of ann-hub, whose period of 390\.624 us would become 50000 us"):
        loaded(tmp_path, three_lanes)


def test_stations_without_an_fpga_have_no_table_and_periods_as_before(tmp_path: Path) -> None:
    def scheduled(sections: dict[str, Any]) -> None:
        sections["schedule"] = {"slot_ms": 50, "slots": 4}

    lab = loaded(tmp_path, scheduled, "tagger_heralded_link")
    assert lab.schedule is not None
    assert period_steps_ns(lab._file) == {}


def test_the_table_that_people_are_shown_is_the_one_that_stations_execute(tmp_path: Path) -> None:
    lab = loaded(tmp_path, no_change)
    assert lab.schedule is not None
    shown = document_of(lab, lab.schedule)["links"]
    for name, link in lab.network.links.items():
        table = table_of(link)
        assert table is not None
        rows = [{"attempts": row.attempts, "gap_ns": row.gap_ns} for row in table.rows]
        assert shown[name]["table"] == {"starts_ns": table.starts_ns, "rows": rows}
