"""Cables of a lab's taggers: what the station's keys and the wiring of the equipment say together."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.labs import Lab, load_lab
from bellwire.simulator_backend.emulation import wire
from bellwire.simulator_backend.lab_emulation import LabEmulation
from bellwire.simulator_backend.tagged_stations import inject_tags, tagger_cables
from bellwire.simulator_backend.world_words import Click

LABS = Path(__file__).parents[2] / "lab_configs"
NOW_NS = 1_800_000_000_000_000_000


def shipped() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((LABS / "tagger_heralded_link.yaml").read_text(encoding="utf-8"))
    return found


def lit() -> dict[str, Any]:
    """The same with two detectors in the light of an optics section."""
    found = deepcopy(shipped())
    tagger = found["stations"]["midpoint"]["equipment"]["tagger"]
    tagger["wiring"] = {"channel_1": "west", "channel_2": "east"}
    found["optics"] = {
        "components": {
            "alice": {"kind": "emitter", "emission": 0.175, "period_ps": 250_000_000, "polarisation": "H"},
            "bob": {"kind": "emitter", "emission": 0.175, "period_ps": 250_000_000, "polarisation": "H"},
            "splitter": {"kind": "beam_splitter"},
            "west": {"kind": "detector", "channel": 1, "dark_hz": 5000.0},
            "east": {"kind": "detector", "channel": 2, "dark_hz": 5000.0},
        },
        "wires": [
            ["alice", "splitter.a"],
            ["bob", "splitter.b"],
            ["splitter.c", "west"],
            ["splitter.d", "east"],
        ],
        "links": {
            "alice-bob": {
                "kind": "single_click",
                "emitters": ["alice", "bob"],
                "detectors": ["west", "east"],
                "alpha": [0.02, 0.02],
                "window_ns": 10.0,
            }
        },
    }
    return found


def loaded(found: dict[str, Any], folder: Path) -> Lab:
    path = folder / "lab.yaml"
    path.write_text(yaml.safe_dump(found, sort_keys=False), encoding="utf-8")
    return load_lab(path, live=True)


def test_channels_carry_the_pps_and_the_inputs_of_the_station(tmp_path: Path) -> None:
    lab = loaded(shipped(), tmp_path)
    assert tagger_cables(lab) == {
        "midpoint-tagger": {"channel_4": "pps", "channel_1": "midpoint.0", "channel_2": "midpoint.2"}
    }


@pytest.mark.parametrize("driver", ["idq_id900", "idq_id1000"])
def test_other_taggers_number_their_channels(driver: str, tmp_path: Path) -> None:
    found = shipped()
    tagger = {"driver": driver, "address": "tcp://127.0.0.1:27900", "emulated": True}
    found["stations"]["midpoint"]["equipment"]["tagger"] = tagger
    assert tagger_cables(loaded(found, tmp_path))["midpoint-tagger"] == {
        "4": "pps",
        "1": "midpoint.0",
        "2": "midpoint.2",
    }


def test_a_station_with_an_fpga_has_no_cables_and_no_tags_of_its_own(tmp_path: Path) -> None:
    lab = load_lab(LABS / "link_single_click.yaml", live=True)
    assert tagger_cables(lab) == {}
    assert inject_tags(lab, wire(lab, tmp_path), None) is None


def test_without_optics_the_darks_are_those_of_the_file(tmp_path: Path) -> None:
    """50 Hz at each of two detectors for 40 s: 4000, within 4 standard errors."""
    emulation = LabEmulation(loaded(shipped(), tmp_path), tmp_path)
    assert emulation.light is None
    assert emulation.injected is not None
    times, _ = emulation.injected.tags(["midpoint.0", "midpoint.2"], NOW_NS, NOW_NS + 40_000_000_000)
    assert abs(len(times) - 4000) <= 4 * 4000**0.5


async def test_a_detector_of_the_optics_has_its_own_darks_and_the_clicks_of_the_world(tmp_path: Path) -> None:
    """5000 darks a second at each for half a second, and photons, where the file's 50 would make 50."""
    emulation = LabEmulation(loaded(lit(), tmp_path), tmp_path)
    assert emulation.light is not None
    assert emulation.injected is not None
    now_ns = emulation.bench.now()
    light_ns = now_ns + 1_000_000
    emulation.injected.click(Click("alice-bob", 0, 1, 3, 2, light_ns, (0, 0), (True, True)))
    times, numbers = emulation.injected.tags(["west", "east"], now_ns, now_ns + 500_000_000)
    assert len(times) > 4000
    right_ps = times[numbers == 1] - 1_000_000_000 - 14_000  # code 2 fires the right one, 14 ns late
    assert ((right_ps >= 0) & (right_ps <= 300)).any()
