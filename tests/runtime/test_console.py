"""Instruments over the bus: leases by name, read-back, fencing, and what is refused to whom."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.events import PeerChanged
from bellwire.core.instrument_messages import (
    InstrumentDescribe,
    InstrumentFaulted,
    InstrumentRefused,
    ParameterRead,
    ParameterTold,
    ParameterWrite,
    TagsWanted,
)
from bellwire.core.messages import Watermark
from bellwire.drivers.faults import Disconnected
from bellwire.drivers.leases import LeaseLost, LeaseRefused
from bellwire.drivers.readings import InstrumentSeen
from bellwire.runtime.console import Console
from bellwire.runtime.console_hold import HeldOverBus
from bellwire.runtime.equipment_commands import equipment_commands
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.tc200_emulator import Tc200Model
from tests.runtime.buses import until
from tests.runtime.desk_bench import DeskBench, desk_bench, start_agent

LONG_NS = 20_000_000_000


def oven(bench: DeskBench, name: str = "alice-oven") -> Tc200Model:
    """What an emulated oven really is."""
    model = bench.emulated.emulator(name).model
    assert isinstance(model, Tc200Model)
    return model


def stop_renewing(held: HeldOverBus) -> None:
    """As if every further renewal were held back on its way."""
    assert held._renewing is not None
    held._renewing.cancel()


async def write_late(console: Console, token: int, value: float) -> object:
    """The frame of a write that was on its way for long: nothing at this end looks at the lease."""
    return await console.begin(
        "alice",
        lambda number: ParameterWrite(
            number=number,
            instrument="alice-oven",
            parameter="temperature_set_c",
            value=value,
            token=token,
            within_ns=LONG_NS,
        ),
        about="alice-oven",
    )[1]


async def test_a_hold_reads_writes_with_read_back_and_is_given_back(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        leases = bench.agents["alice"].driver("oven").leases
        async with console.hold(["alice-oven", "alice-spare"], "delay-scan") as held:
            assert leases.current.holder == "delay-scan"
            assert await held.write("alice-oven", "temperature_set_c", 45) == 45.0
            assert await held.read("alice-oven", "temperature_set_c") == 45.0
            assert oven(bench).settings["tset"] == 45.0
            await held.write("alice-oven", "heating", True)
            await held.safe("alice-oven")
            assert not oven(bench).heating
            with pytest.raises(LocalMisuse, match=r"above 200"):
                await held.write("alice-oven", "temperature_set_c", 999)
            with pytest.raises(LocalMisuse, match='no parameter "temperatur_c"'):
                await held.read("alice-oven", "temperatur_c")
            with pytest.raises(LocalMisuse, match="is no time tagger"):
                await held.count("alice-oven", 0.1)
            with pytest.raises(LocalMisuse, match="is no time tagger"):
                async with contextlib.aclosing(held.tags("alice-oven", 0.1)) as blocks:
                    await anext(blocks)
            with pytest.raises(LocalMisuse, match="bob-oven is not held"):
                await held.read("bob-oven", "temperature_c")
        assert leases.current is None
        assert oven(bench).settings["tset"] == 45.0  # given back in order: it stays as it was left
        with pytest.raises(ConfigError, match=r'no equipment is called "alice-ofen".*alice-oven'):
            await console.seen(["alice-ofen"])
        assert await console.seen(["alice-oven"]) == (
            InstrumentSeen("alice-oven", "thorlabs_tc200", "", "2.1.0"),
        )
        (told,) = await console.described(["alice-oven"])
        assert (told.condition, told.held_by) == ("ready", None)
        assert {card.name for card in told.parameters} >= {"temperature_set_c", "heating"}


async def test_whoever_holds_it_is_named_in_every_refusal_and_nothing_is_half_held(tmp_path: Path) -> None:
    async with desk_bench(tmp_path, ("alice", "bob")) as bench, bench.console() as console:
        commands = equipment_commands(bench.agents["alice"].equipment)
        async with console.hold(["alice-oven"], "calibrate"):
            with pytest.raises(LeaseRefused, match="alice-oven is held by calibrate"):
                async with console.hold(["alice-spare", "alice-oven"], "calibrate"):
                    pass
            assert bench.agents["alice"].driver("spare").leases.current is None
            with pytest.raises(ConfigError, match="held by calibrate"):
                await commands["device_write"](
                    {"device": "oven", "parameter": "temperature_set_c", "value": 30, "holder": "me"}
                )
        mine = await commands["device_acquire"]({"device": "spare", "holder": "bellwire device", "for_s": 60})
        # bob's part would be free; all or nothing.
        with pytest.raises(LeaseRefused, match="alice-spare is held by bellwire device"):
            async with console.hold(["bob-oven", "alice-spare"], "calibrate"):
                pass
        assert bench.agents["bob"].driver("oven").leases.current is None
        await commands["device_release"]({"device": "spare", "token": mine["token"]})
        async with console.hold(["bob-oven", "alice-spare"], "calibrate"):
            assert bench.agents["bob"].driver("oven").leases.current.holder == "calibrate"
        assert bench.agents["bob"].driver("oven").leases.current is None


async def test_a_second_console_is_refused_and_told_who_holds_what(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        async with console.hold(["alice-oven"], "hom-dip"):
            with pytest.raises(ConfigError, match=r"console already runs.*it holds alice-oven for hom-dip"):
                async with bench.console():
                    pass
        with pytest.raises(ConfigError, match="it holds nothing at present"):
            async with bench.console():
                pass


async def test_a_write_that_arrives_after_its_lease_has_run_out_is_refused(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        alice = bench.agents["alice"]
        async with console.hold(["alice-oven"], "slow", lease_s=0.8) as held:
            await held.write("alice-oven", "temperature_set_c", 40)
            token = held._tokens["alice"]["alice-oven"]
            stop_renewing(held)
            await until(lambda: alice.health.counts["instrument_made_safe"] == 1, "the lease runs out")
            answer = await write_late(console, token, 90.0)
            assert isinstance(answer, InstrumentRefused)
            assert answer.kind == "lease"
            assert oven(bench).settings["tset"] == 40.0
            with pytest.raises(LeaseLost, match="has run out"):
                await held.read("alice-oven", "temperature_c")
        # The next holder's token is another: the old one moves nothing under it either.
        async with console.hold(["alice-oven"], "next"):
            answer = await write_late(console, token, 90.0)
            assert isinstance(answer, InstrumentRefused)
            assert oven(bench).settings["tset"] == 40.0


async def test_renewal_keeps_a_lease_for_longer_than_it_lasts(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        leases = bench.agents["alice"].driver("oven").leases
        async with console.hold(["alice-oven"], "long", lease_s=4.0) as held:
            first_end_ns = leases.current.ends_at_ns
            await until(
                lambda: time.monotonic_ns() > first_end_ns + 400_000_000, "the first lease would be over"
            )
            assert await held.write("alice-oven", "temperature_set_c", 30) == 30.0
            assert leases.current.holder == "long"


async def test_a_question_that_comes_again_is_not_carried_out_again(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        alice, writes = bench.agents["alice"], 0
        driver = alice.driver("oven")
        set_really = driver.set_temperature_c

        async def counted(value: float) -> None:
            nonlocal writes
            writes += 1
            await set_really(value)

        driver.set_temperature_c = counted
        async with console.hold(["alice-oven"], "once") as held:
            token = held._tokens["alice"]["alice-oven"]
            number, future = console.begin(
                "alice",
                lambda number: ParameterWrite(
                    number=number,
                    instrument="alice-oven",
                    parameter="temperature_set_c",
                    value=41.0,
                    token=token,
                    within_ns=LONG_NS,
                ),
                about="alice-oven",
            )
            first = await future
            assert isinstance(first, ParameterTold)
            question = ParameterWrite(
                number=number,
                instrument="alice-oven",
                parameter="temperature_set_c",
                value=55.0,
                token=token,
                within_ns=LONG_NS,
            )
            console.post("alice", question)
            await until(lambda: console.health.counts["answer_unasked"] == 1, "the old answer comes again")
            assert writes == 1
            assert alice.health.counts["instrument_question_repeated"] == 1
            assert oven(bench).settings["tset"] == 41.0


async def test_the_connection_may_break_and_come_back_within_a_lease(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        alice = bench.agents["alice"]
        async with console.hold(["alice-oven"], "patient") as held:
            await held.write("alice-oven", "temperature_set_c", 40)
            # The agent's half of the connection is cut; it is made anew at the next word of the console.
            alice.network.peers["console"].close()
            pending = asyncio.create_task(held.write("alice-oven", "temperature_set_c", 42))
            assert await pending == 42.0
            assert oven(bench).settings["tset"] == 42.0
        assert alice.health.counts["lease_lost"] == 0


async def test_what_an_instrument_does_wrong_comes_as_its_fault(tmp_path: Path) -> None:
    async with (
        desk_bench(tmp_path) as bench,
        bench.console() as console,
        console.hold(["alice-oven"], "unlucky") as held,
    ):
        await bench.emulated.stop("alice-oven")
        await until(lambda: not bench.agents["alice"].driver("oven")._is_open(), "the line is gone")
        with pytest.raises(Disconnected, match="alice-oven"):
            await held.read("alice-oven", "temperature_c")
        await bench.emulated.start("alice-oven")


async def test_a_question_ends_at_its_deadline(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        driver = bench.agents["alice"].driver("oven")

        async def never() -> float:
            await asyncio.Event().wait()
            return 0.0

        driver.read_temperature_c = never
        answer = await console.ask(
            "alice",
            lambda number: ParameterRead(
                number=number,
                instrument="alice-oven",
                parameter="temperature_c",
                token=None,
                within_ns=1_000_000,
            ),
            about="alice-oven",
        )
        assert isinstance(answer, InstrumentFaulted)
        assert (answer.kind, answer.instrument) == ("LinkTimeout", "alice-oven")


async def test_an_agent_that_is_killed_fails_the_pending_call_and_all_that_follow(tmp_path: Path) -> None:
    async with desk_bench(tmp_path, ("bob", "alice")) as bench, bench.console() as console:
        alice, bob = bench.agents["alice"], bench.agents["bob"]
        driver = alice.driver("oven")
        asked = asyncio.Event()

        async def never() -> float:
            asked.set()
            await asyncio.Event().wait()
            return 0.0

        driver.read_temperature_c = never
        async with console.hold(["alice-oven", "bob-oven"], "unlucky", lease_s=60.0) as held:
            await held.write("bob-oven", "temperature_set_c", 50)
            await held.write("bob-oven", "heating", True)
            pending = asyncio.create_task(held.read("alice-oven", "temperature_c"))
            await asked.wait()
            alice.network.close()  # as kill -9: not a word more
            with pytest.raises(LeaseLost, match="alice is down"):
                await pending
            with pytest.raises(LeaseLost, match="alice is down"):
                await held.read("bob-oven", "temperature_c")
            # bob did not wait for its minute of lease: the console gave it up.
            await until(lambda: bob.health.counts["instrument_made_safe"] == 1, "bob's oven is safe")
            assert not await bob.driver("oven").read_heating()
        with pytest.raises(Disconnected, match="is the lab up"):
            async with bench_console_of(console).hold(["alice-oven"], "later"):
                pass


async def test_who_asks_without_a_lease_is_told_at_once_that_the_agent_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        alice = bench.agents["alice"]
        await console.seen(["alice-oven"])
        asked = asyncio.Event()
        monkeypatch.setattr(alice.desk, "take", lambda incarnation, message: asked.set())
        pending = asyncio.create_task(console.seen(["alice-oven"]))
        await asked.wait()
        alice.network.close()
        with pytest.raises(Disconnected, match="alice is down"):
            await pending


def bench_console_of(console: Console) -> Console:
    """The same console, impatient."""
    console._reach_s = 0.1
    return console


async def test_an_agent_that_was_started_anew_has_no_lease_of_ours(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        alice = bench.agents["alice"]
        async with console.hold(["alice-oven"], "unlucky", lease_s=60.0) as held:
            await held.read("alice-oven", "temperature_c")
            await alice.close()
            again = await start_agent(bench.lab, "alice", bench.state, tmp_path, 2, {})
            try:
                await until(lambda: held._lost is not None, "the lease is lost")
                with pytest.raises(LeaseLost, match=r"alice (is down|was started anew)"):
                    await held.write("alice-oven", "temperature_set_c", 50)
            finally:
                await again.close()


async def test_only_the_console_may_ask_and_the_machine_never_hears_of_it(tmp_path: Path) -> None:
    async with desk_bench(tmp_path, ("alice", "bob")) as bench:
        alice, bob = bench.agents["alice"], bench.agents["bob"]
        await until(lambda: alice.network.peers["bob"].knows_us, "alice and bob know each other")
        question = InstrumentDescribe(number=1, instrument="alice-oven", within_ns=LONG_NS)
        bob.network.post("alice", question, "control")
        await until(lambda: alice.health.counts["instrument_message_refused"] == 1, "bob is refused")
        assert alice.health.counts["peer_violation"] == 1
        async with bench.console() as console:
            async with console.hold(["alice-oven"], "somebody") as held:
                await held.read("alice-oven", "temperature_c")
                assert alice.agent.status()["console"]["holds"] == {"alice-oven": "somebody"}
            # Nor can the console speak to a machine.
            assert console._network is not None
            console._network.post("alice", Watermark(incarnation=1, last=1), "control")
            await until(lambda: alice.health.counts["peer_violation"] == 2, "the console is refused")
        await until(lambda: alice.network.peers["console"].liveness.state == "down", "the console is gone")
        told = [event for _, event in alice.machine.told if isinstance(event, PeerChanged)]
        assert told
        assert {event.peer for event in told} == {"bob"}
        assert "Received" not in alice.machine.kinds()
        assert set(alice.agent.status()["peers"]) == {"bob"}
        assert alice.health.counts["nobody_connected"] < 20  # it is not called while it does not call


async def test_what_waits_for_the_console_closes_no_attempt_windows(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench:
        alice = bench.agents["alice"]
        for name in ("console", "bob"):  # neither is there: what is put stays
            for _ in range(12):
                alice.network.peers[name].outbox.put("digest", b"x")
            assert set(alice.network.congested) >= {name}
            assert alice.agent.status()["congested"] == ([] if name == "console" else ["bob"])
        alice.agent._flush()
        assert "OutboxChanged" in alice.machine.kinds()  # for bob
        alice.network.peers["bob"].outbox.clear()
        alice.agent._flush()
        assert [kind for kind in alice.machine.kinds() if kind == "OutboxChanged"] == ["OutboxChanged"] * 2


async def test_an_agent_refuses_to_read_for_who_is_no_longer_the_holder(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench, bench.console() as console:
        async with console.hold(["alice-oven"], "was") as held:
            token = held._tokens["alice"]["alice-oven"]
        answer = await console.begin(
            "alice",
            lambda number: ParameterRead(
                number=number,
                instrument="alice-oven",
                parameter="temperature_c",
                token=token,
                within_ns=LONG_NS,
            ),
            about="alice-oven",
        )[1]
        assert isinstance(answer, InstrumentRefused)
        assert answer.kind == "lease"


async def test_an_unknown_key_is_no_console(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench:
        elsewhere = Console(bench.lab, tmp_path / "elsewhere", bus=bench.console()._bus, reach_s=0.3)
        async with elsewhere as console:
            # It has keys of its own making, which the lab does not know, and knows no key of the lab.
            with pytest.raises(Disconnected, match="alice does not answer"):
                await console.seen(["alice-oven"])
        assert bench.agents["alice"].desk.status() == {"holds": {}, "questions": 0}


async def test_a_slow_instrument_does_not_hold_up_another(tmp_path: Path) -> None:
    async with (
        desk_bench(tmp_path) as bench,
        bench.console() as console,
        console.hold(["alice-oven", "alice-spare"], "two") as held,
    ):
        bench.emulated.emulator("alice-oven").set_fault(Fault.LATE_REPLY, delay_s=0.5, times=1)
        late = asyncio.create_task(held.read("alice-oven", "temperature_set_c"))
        await asyncio.sleep(0)
        await held.read("alice-spare", "temperature_set_c")
        assert not late.done()
        await late


def test_a_stream_word_is_bounded_by_the_credit() -> None:
    from bellwire.runtime.desk_tags import CREDIT_MAX, TagSender

    wanted = TagsWanted(
        number=1, instrument="t", duration_ps=1, channels=(), credit=10**9, token=1, within_ns=LONG_NS
    )
    sender = TagSender(wanted, lambda chunk: None)
    sender.grant(10**9)
    assert sender._credit == CREDIT_MAX
