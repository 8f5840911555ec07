"""The lab's script against an emulated controller."""

from pathlib import Path

import pytest
from my_lab import oven as script


def test_the_crystal_is_warmed_up(emulated_instrument):
    oven = emulated_instrument("thorlabs_tc200")
    assert script.warm_up(oven.address, 25.0) == pytest.approx(25.0, abs=0.5)
    assert oven.changes == [b"tset=25.0", b"ens"]


def test_a_heater_that_is_on_is_not_switched_off(emulated_instrument):
    oven = emulated_instrument("thorlabs_tc200")
    script.warm_up(oven.address, 25.0)
    script.warm_up(oven.address, 25.0)
    assert oven.changes.count(b"ens") == 1


def test_a_silent_controller_is_named(emulated_instrument):
    oven = emulated_instrument("thorlabs_tc200")
    oven.set_fault("silent")
    with pytest.raises(script.OvenDoesNotAnswer):
        script.warm_up(oven.address, 25.0)


def test_the_lab_file_plays(emulated_lab):
    lab = emulated_lab(Path(__file__).parents[1] / "lab_emulated.yaml")
    assert lab.names == ["source-oven"]
