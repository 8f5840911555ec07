"""The keys of a station whose heralds come from a tagger: what they mean, and every mistake as a line."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.labs import LabProblems, load_lab

SHIPPED = Path(__file__).parents[1] / "lab_configs" / "tagger_heralded_link.yaml"


def sections(**herald: Any) -> dict[str, Any]:
    """The shipped lab with keys of its herald section changed; None takes a key away."""
    found: dict[str, Any] = deepcopy(yaml.safe_load(SHIPPED.read_text(encoding="utf-8")))
    section = found["stations"]["midpoint"]["instruments"]["herald"]
    for key, value in herald.items():
        section.pop(key, None)
        if value is not None:
            section[key] = value
    return found


def test_the_keys_reach_the_hosts_by_input_and_in_picoseconds() -> None:
    lab = load_lab(SHIPPED, live=True)
    (herald,) = (one for one in lab.instruments if one.role == "herald")
    assert herald.emulated  # as its tagger is
    assert herald.inputs is not None
    assert herald.inputs.tagger == "tagger"
    assert (herald.inputs.pps_channel, herald.inputs.window_ns) == (4, 20)
    assert herald.inputs.channels == {0: 1, 2: 2}
    assert herald.inputs.delays_ps == {0: 12_500, 2: 14_000}
    assert herald.inputs.dark_rate_hz == {0: 50.0, 2: 50.0}


def test_herald_lines_of_memories_have_the_darks_of_their_memories(tmp_path: Path) -> None:
    found = sections(detector_channels={"receiver": 1}, detector_delays_ns=None)
    found["stations"]["midpoint"].pop("detectors")
    link = found["links"]["alice-bob"]
    del link["alpha"], link["phase_rms_rad"]
    link |= {"architecture": "sender_receiver", "fibre_km": [10, 0]}
    found["nodes"]["bob"]["memory"] = {"herald_dark_rate_hz": 7.0}
    assert problems_of(found, tmp_path) == ()
    lab = load_lab(tmp_path / "lab.yaml")
    (herald,) = (one for one in lab.instruments if one.role == "herald")
    assert herald.inputs is not None
    assert herald.inputs.channels == {3: 1}
    assert herald.inputs.dark_rate_hz == {3: 7.0}


def problems_of(found: dict[str, Any], folder: Path) -> tuple[str, ...]:
    path = folder / "lab.yaml"
    path.write_text(yaml.safe_dump(found, sort_keys=False), encoding="utf-8")
    try:
        load_lab(path, live=True)
    except LabProblems as problem:
        return problem.lines
    return ()


@pytest.mark.parametrize(
    ("changed", "place", "problem"),
    [
        ({"address": "pty:tagger"}, "address", "must be equipment:NAME"),
        ({"address": "equipment:taggr"}, "address", 'is called "taggr" (did you mean "tagger"?)'),
        ({"pps_channel": None}, "pps_channel", "give the channel"),
        ({"pps_channel": 1}, "detector_channels.left", "channel 1 carries the PPS"),
        ({"detector_channels": {"left": 1, "right": 1}}, "detector_channels.right", "carries left"),
        ({"detector_channels": {"left": 1}}, "detector_channels", "needs also right"),
        (
            {"detector_channels": {"left": 1, "rihgt": 2}},
            "detector_channels.rihgt",
            'no detector "rihgt" (did you mean "right"?)',
        ),
        ({"detector_delays_ns": {"left_h": 1}}, "detector_delays_ns.left_h", "no detector"),
        ({"window_ns": 600_000}, "window_ns", "does not fit into a period"),
        ({"driver": "herald_fpga"}, "pps_channel", "goes with driver: tagger_herald"),
        ({"driver": "taggr_herald"}, "driver", 'did you mean "tagger_herald"'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_mistake_is_a_line_of_the_file(
    changed: dict[str, Any], place: str, problem: str, tmp_path: Path
) -> None:
    lines = problems_of(sections(**changed), tmp_path)
    assert any(f"herald.{place}" in line and problem in line for line in lines), lines


def test_equipment_that_is_no_tagger_is_refused(tmp_path: Path) -> None:
    found = sections()
    found["stations"]["midpoint"]["equipment"]["tagger"] = {
        "driver": "thorlabs_tc200",
        "address": "pty:oven",
        "emulated": True,
    }
    assert any("not time_tagger" in line for line in problems_of(found, tmp_path))


def test_a_real_tagger_has_no_emulated_heralds(tmp_path: Path) -> None:
    found = sections(emulated=True)
    found["stations"]["midpoint"]["equipment"]["tagger"]["emulated"] = False
    assert any("tagger tagger is real" in line for line in problems_of(found, tmp_path))


def test_the_shipped_lab_has_no_problems(tmp_path: Path) -> None:
    assert problems_of(sections(), tmp_path) == ()
