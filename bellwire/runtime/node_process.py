"""One node process: everything that `bellwire node LAB NAME` runs, from the lock on its state to the exit
code.

Owns the order of starting and stopping. Refuses to read lab files and to decide what a crash means: the
supervisor restarts, with a higher incarnation.
"""

import asyncio
import functools
import secrets
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from bellwire import __version__
from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.instrument_messages import CONSOLE
from bellwire.core.machine import Machine
from bellwire.runtime.agent import Agent
from bellwire.runtime.agent_readings import agent_readings, readings_command
from bellwire.runtime.bus_words import BusSettings
from bellwire.runtime.calibration_watch import StandingReader
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.commands import agent_commands
from bellwire.runtime.control import SUPERVISOR, ControlServer, socket_path, take_away_dead
from bellwire.runtime.delivery_tally import DeliveryTally
from bellwire.runtime.desk import InstrumentDesk
from bellwire.runtime.equipment import AppliedSettings
from bellwire.runtime.equipment_commands import equipment_commands
from bellwire.runtime.health import Health
from bellwire.runtime.instruments import NodeInstruments
from bellwire.runtime.keys import Keyring, check_name
from bellwire.runtime.lab_words import LabEntry
from bellwire.runtime.link_rests import LinkRests
from bellwire.runtime.metrics_page import AgentMetrics
from bellwire.runtime.network import Network
from bellwire.runtime.parent import watch_parent
from bellwire.runtime.storage_trials import StorageTrials
from bellwire.runtime.store import AgentLock, RecordStore, claim_incarnation
from bellwire.runtime.telemetry import telemetry_of
from bellwire.runtime.trace import AgentTrace

SEED_BITS = 64
"""Chance that a machine gets for one life (`Started.seed`)."""

MachineFactory = Callable[[NodeId], Machine]


def machine_factory(lab: LabEntry) -> MachineFactory:
    """Fresh machines of the lab's nodes."""
    from bellwire.node.machines import make_machine
    from bellwire.planner.joint_plans import planner_for

    planner = planner_for(lab.network, lab.requests, lab.plan_together)

    def make(name: NodeId) -> Machine:
        return make_machine(lab.network, name, planner)

    return make


async def run_agent(
    lab: LabEntry,
    name: NodeId,
    state_dir: Path,
    run_dir: Path,
    *,
    make: MachineFactory | None = None,
    bus: BusSettings | None = None,
    with_parent: bool = False,
    standing: StandingReader | None = None,
    applied: AppliedSettings | None = None,
    metrics: str | None = None,
) -> int:
    """Run one node until it is told to stop; returns the exit code of the process.

    with_parent: end when stdin closes (the supervisor holds its other end), even if the supervisor was
    killed.
    standing: of the calibrations without which a station's link may not be used; None: it needs none.
    applied: what calibrations have set, asked again whenever a holder gives instruments back.
    metrics: HOST:PORT of this computer where Prometheus may ask this agent; None: nowhere.

    Raises:
        ConfigError: unknown node, no address, address in use, or an agent of this name runs already.
        StoreFault: the state directory cannot be written.
    """
    if name not in lab.network.nodes:
        raise ConfigError(
            f"{name} is not a node of {lab.name}: {', '.join(lab.network.nodes)}", where=lab.path
        )
    if name not in lab.addresses:
        raise ConfigError(f"{name} has no bus address, so it runs in virtual time only", where=lab.path)
    lock = AgentLock(state_dir / "agents", check_name(name))
    try:
        return await _run_locked(
            lab,
            name,
            state_dir,
            run_dir,
            make or machine_factory(lab),
            bus,
            with_parent,
            standing,
            applied,
            metrics,
        )
    finally:
        lock.release()


async def _run_locked(
    lab: LabEntry,
    name: NodeId,
    state_dir: Path,
    run_dir: Path,
    make: MachineFactory,
    bus: BusSettings | None,
    with_parent: bool,
    standing: StandingReader | None,
    applied: AppliedSettings | None,
    metrics: str | None,
) -> int:
    loop = asyncio.get_running_loop()
    log = structlog.get_logger().bind(node=name)
    bus = bus or BusSettings()
    keyring = None
    if bus.security == "curve":
        keyring = Keyring(state_dir / "keys", name)
        keyring.make(name)
    incarnation = claim_incarnation(state_dir / "agents", name)
    log = log.bind(incarnation=incarnation)
    clock = LiveClock()

    def on_health(event: str, count: int, fields: dict[str, Any]) -> None:
        log.warning(
            event,
            count=count,
            **{
                f"_{key}" if key in ("event", "count", "node", "incarnation") else key: value
                for key, value in fields.items()
            },
        )

    health = Health(on_health)
    agent = Agent(name, incarnation, make(name), clock, health, AgentTrace(run_dir, name, incarnation))
    loop.set_exception_handler(lambda _, context: agent.on_unforeseen(_told(context)))
    network = Network(name, incarnation, agent, clock, health, keyring, bus)
    network.start(lab.listens.get(name, lab.addresses[name]))
    agent.network = network
    agent.store = RecordStore(
        state_dir / "agents" / f"{name}.sqlite",
        lambda tokens: _in_loop(loop, agent.on_stored, tokens),
        lambda fault: _in_loop(loop, agent.on_store_fault, fault),
    )
    records = agent.store.open()
    entries = tuple(entry for entry in lab.instruments if entry.owner == name)
    instruments = NodeInstruments(
        lab.network,
        name,
        entries,
        state_dir / "devices",
        agent.feed,
        clock,
        health,
        equipment=tuple(one for one in lab.equipment if one.owner == name),
        composites=tuple(one for one in lab.composites if one.owner == name),
        standing=standing,
        applied=applied,
        incarnation=incarnation,
    )
    agent.devices = instruments.orders
    telemetry = telemetry_of(lab.name, name, incarnation, __version__)
    if telemetry is not None:
        agent.on_step.append(telemetry.on_step)
    desk = None
    if lab.console is not None:
        network.add_peer(CONSOLE, lab.console, takes_facts=False, calls=True)
        post = functools.partial(network.post, CONSOLE)
        rests = LinkRests(agent.machine, agent.feed)
        trials = StorageTrials(lab.network, name, agent.feed)
        agent.on_report.append(trials.on_report)
        agent.desk = desk = InstrumentDesk(instruments.equipment, health, post, rests=rests, trials=trials)
    tally = DeliveryTally(agent.machine)
    agent.on_report.append(tally.on_report)
    read = functools.partial(agent_readings, agent, instruments, tally)
    commands = {
        **agent_commands(agent, instruments, clock),
        **equipment_commands(instruments.equipment),
        **readings_command(read),
    }
    control = ControlServer(socket_path(state_dir, name), commands)
    await control.start()
    served = None
    if metrics is not None:
        served = AgentMetrics(metrics, read)
        log.info("metrics_served", port=served.port)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, agent.stop)
    if with_parent:
        watch_parent(loop, agent.stop)
    # Peers before the first event: a machine may have something to tell them about what its records say.
    for peer, address in lab.addresses.items():
        if peer != name:
            network.add_peer(peer, address, takes_facts=lab.network.nodes[peer].role != "station")
    agent.start(records, seed=secrets.randbits(SEED_BITS))
    await instruments.start()
    log.info("agent_started", records=len(records))
    try:
        return await _after_the_end(agent, instruments, control, desk)
    finally:
        if served is not None:
            served.close()
        if telemetry is not None:
            await asyncio.to_thread(telemetry.close)  # the collector may be slow to answer
        if with_parent:
            take_away_dead(socket_path(state_dir, SUPERVISOR))  # which cannot do so when it is killed


async def _after_the_end(
    agent: Agent, instruments: NodeInstruments, control: ControlServer, desk: InstrumentDesk | None
) -> int:
    try:
        return await agent.ended
    finally:
        if desk is not None:
            await desk.close()
        await instruments.stop()
        await control.close()
        agent.stop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(signal_number)


def _told(context: dict[str, Any]) -> str:
    error = context.get("exception")
    if error is None:
        return str(context.get("message"))
    return "".join(traceback.format_exception(error))


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[[Any], None], argument: object) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, argument)
