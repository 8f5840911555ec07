"""Agents with instrument desks and a console on real sockets of loopback, for tests.

Owns the joining: emulated instruments, their drivers, an agent with a machine that only remembers, the desk.
Refuses protocols: nothing here makes pairs.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bellwire.core.instrument_messages import CONSOLE
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.instrument import Condition
from bellwire.labs import Lab, load_lab
from bellwire.labs.free_ports import on_free_ports
from bellwire.runtime.agent import Agent
from bellwire.runtime.bus_words import BusSettings
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.console import Console
from bellwire.runtime.desk import InstrumentDesk
from bellwire.runtime.equipment import NodeEquipment
from bellwire.runtime.health import Health
from bellwire.runtime.keys import Keyring
from bellwire.runtime.network import Network
from bellwire.runtime.trace import AgentTrace
from bellwire.simulator_backend.devices.equipment_bench import EquipmentBench
from tests.runtime.test_agent import ScriptedMachine

FAST = BusSettings(interval_ns=150_000_000)
"""A vanished peer is down after 0.9 s."""
READY_S = 20.0

LAB = """
lab: desk_bench
nodes:
  alice:
    role: end
    address: tcp://127.0.0.1:27101
    equipment:
      oven: {driver: thorlabs_tc200, address: "pty:alice-oven", emulated: true}
      spare: {driver: thorlabs_tc200, address: "pty:alice-spare", emulated: true}
  bob:
    role: end
    address: tcp://127.0.0.1:27102
    equipment:
      oven:
        driver: thorlabs_tc200
        address: "pty:bob-oven"
        emulated: true
        settings: {temperature_set_c: 25.0}
      pump: {driver: nkt_basik, address: "pty:bob-pump", emulated: true, settings: {emission: true}}
    composites:
      converter:
        {kind: frequency_converter, pump: pump, oven: oven, pump_value: 20.0, crystal_temperature_c: 25.0}
links:
  alice-bob: {nodes: [alice, bob], attempt: {period_us: 100, success_probability: 0.1}}
console: {address: "tcp://127.0.0.1:27103"}
"""


@dataclass
class DeskAgent:
    """One agent of the bench."""

    name: str
    agent: Agent
    network: Network
    machine: ScriptedMachine
    equipment: NodeEquipment
    desk: InstrumentDesk
    health: Health

    def driver(self, name: str) -> Any:
        """A driver, to look at its instrument by its own line."""
        return self.equipment.drivers[name]

    async def close(self) -> None:
        """End in order."""
        await self.desk.close()
        self.agent.stop()
        await self.equipment.stop()


@dataclass
class DeskBench:
    """The lab, where it lies, and its agents."""

    path: Path
    lab: Lab
    state: Path
    emulated: EquipmentBench
    agents: Mapping[str, DeskAgent]

    def console(self, reach_s: float = 10.0) -> Console:
        """A console of this lab, not entered."""
        return Console(self.lab, self.state, bus=FAST, reach_s=reach_s)


async def start_agent(
    lab: Lab, name: str, state: Path, run: Path, incarnation: int, replaced: Mapping[str, Equipment]
) -> DeskAgent:
    """An agent whose drivers are those of the lab, but for `replaced`."""
    keyring = Keyring(state / "keys", name)
    keyring.make(name)
    clock, health, machine = LiveClock(), Health(), ScriptedMachine()
    agent = Agent(name, incarnation, machine, clock, health, AgentTrace(run, name, incarnation))
    network = Network(name, incarnation, agent, clock, health, keyring, FAST)
    network.start(lab.addresses[name])
    agent.network = network
    equipment = NodeEquipment(
        tuple(one for one in lab.equipment if one.owner == name),
        state / "devices",
        health,
        composites=tuple(one for one in lab.composites if one.owner == name),
    )
    equipment.drivers |= replaced
    assert lab.console is not None
    network.add_peer(CONSOLE, lab.console, takes_facts=False, calls=True)
    desk = InstrumentDesk(equipment, health, functools.partial(network.post, CONSOLE))
    agent.desk = desk
    for peer, address in lab.addresses.items():
        if peer != name:
            network.add_peer(peer, address)
    agent.start()
    await equipment.start()
    return DeskAgent(name, agent, network, machine, equipment, desk, health)


@asynccontextmanager
async def desk_bench(
    folder: Path,
    names: Sequence[str] = ("alice",),
    replaced: Mapping[str, Equipment] | None = None,
) -> AsyncIterator[DeskBench]:
    """These agents, their instruments ready. `replaced`: drivers of the first agent."""
    path = folder / "lab.yaml"
    path.write_text(on_free_ports(LAB), encoding="utf-8")
    lab, state = load_lab(path, live=True), folder / "state"
    (state / "devices").mkdir(parents=True)
    entries = [one for one in lab.equipment if one.owner in names]
    async with AsyncExitStack() as stack:
        emulated = await stack.enter_async_context(EquipmentBench(entries, state / "devices", pace=0.0))
        agents: dict[str, DeskAgent] = {}
        for number, name in enumerate(names):
            mine = replaced or {} if number == 0 else {}
            agents[name] = await start_agent(lab, name, state, folder, 1, mine)
            stack.push_async_callback(agents[name].close)
        for one in agents.values():
            for driver in one.equipment.drivers.values():
                await driver.wait_for(Condition.READY, READY_S)
        yield DeskBench(path, lab, state, emulated, agents)
