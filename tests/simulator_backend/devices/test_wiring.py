"""Which of a device's words lead into the World, and where the others go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from bellwire.simulator_backend.devices.decop_tree import UserLevel
from bellwire.simulator_backend.devices.dlc_pro_laser import DlcProLaser, power_mw
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring


class World:
    """Knows one knob and two channels, and refuses all else, as the World of photons does."""

    def __init__(self) -> None:
        self.pump_mw = 0.0

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        assert knob == "source.pump_mw"
        self.pump_mw = value

    def gauge(self, name: str, now_ns: int) -> float:
        assert name == "source.pump_mw"
        return self.pump_mw

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        assert list(channels) == ["late", "early"]
        return np.array([10, 20, 30]), np.array([1, 0, 1], np.int16)


NAMES = {"pump_mw": "source.pump_mw", "2": "late", "4": "early"}


def test_a_laser_of_which_only_the_power_is_wired_turns_that_and_keeps_its_current_to_itself() -> None:
    world, table = World(), Alone()
    laser = DlcProLaser(Wiring(world, NAMES, table))
    laser.now(0)
    laser.tree.set("laser1:dl:cc:enabled", True, UserLevel.NORMAL)
    assert world.pump_mw == pytest.approx(power_mw(60.0, 23.0))
    assert table.values == {"current_ma": 60.0}


def test_channels_that_lead_elsewhere_stay_dark_and_the_others_keep_their_numbers() -> None:
    at_ps, number = Wiring(World(), NAMES, Alone(rates_hz={"1": 1e6})).tags(["1", "2", "3", "4"], 0, 10**9)
    assert at_ps.tolist() == [10, 20, 30]
    assert number.tolist() == [3, 1, 3]
    assert Wiring(World(), {}, Alone()).tags(["1"], 0, 10**9)[0].tolist() == []


def test_alone_every_word_stands_for_itself() -> None:
    table = Alone(rates_hz={"1": 1e5}, seed=1)
    wiring = Wiring(table)
    wiring.turn("current_ma", 5.0, 0)
    assert wiring.gauge("current_ma", 0) == table.values["current_ma"] == 5.0
    assert len(wiring.tags(["1"], 0, 10**9)[0]) == len(table.tags(["1"], 0, 10**9)[0]) > 0
