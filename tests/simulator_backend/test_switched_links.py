"""Mirrors of an emulated switch and the links behind them."""

from typing import Any

from bellwire.labs import load_lab
from bellwire.simulator_backend.devices.polatis_emulator import PolatisModel
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.switched_links import SwitchedLinks, switch_cables
from tests.hosts.live import LABS


def test_a_link_shines_while_the_ports_of_its_setting_are_connected_and_only_then() -> None:
    lab = load_lab(LABS / "switched_hub.yaml")
    shining: dict[str, bool] = {}

    def change(link: str, *, success_probability: float, points: Any) -> None:
        shining[link] = success_probability > 0.0

    around = Alone()
    links = SwitchedLinks(lab.network, lab.world()[0], around, change)
    assert shining == {"hub-alice": False, "hub-bob": False}
    cables = switch_cables(lab.network)
    assert cables.keys() == {"hub-oxc"}
    switch = PolatisModel(Wiring(links, cables["hub-oxc"], around))
    switch.add((1,), (25,))
    assert shining == {"hub-alice": True, "hub-bob": False}
    switch.add((2,), (26,))
    assert not shining["hub-bob"], "another fibre than the setting's leads there"
    switch.take_away((1,), ())
    assert not shining["hub-alice"]
    switch.add((1,), (26,))
    assert shining == {"hub-alice": False, "hub-bob": True}
    switch.power_off(0)
    assert shining == {"hub-alice": False, "hub-bob": False}
