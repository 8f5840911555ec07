"""SwitchKeeper: brings an optical switch to the setting that plans need, and lets links begin only then.

Owns the change of each switch of one node: order, settling, dark check, and what becomes of links meanwhile.
Refuses to decide who may have a setting (planner/switch_leases.py).

A link end that has not heard of a request agrees on no window for it, at either side. So a request that wants
pairs of a link through a switch is held back here, and handed to the link when the switch has settled and
the dark check was passed: no end attempts sooner. A change that failed, or light where there should be none,
marks the links of the setting as down, with the reason; it is tried again later, at growing intervals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from bellwire.core.effects import CheckDark, Report, SetSwitch
from bellwire.core.events import DarkChecked, Started, SwitchSet
from bellwire.core.ids import LinkId, NodeId, RequestId, SwitchId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import LinkRequested, LinkWithdrawn, SettingWanted
from bellwire.core.settings import NetworkSettings, SwitchSettings

RETRIES_DOUBLED_MAX: Final = 6
"""Doublings of the wait after a change that failed."""

FENCES_PER_INCARNATION: Final = 1 << 16
"""A fence is incarnation * this + what the leases say."""

State = Literal["unknown", "moving", "settling", "checking", "ready", "down"]
"""unknown -> moving -> settling -> checking -> ready | down; a wanted change begins at moving again."""


@dataclass(slots=True)
class Switch:
    """One switch, as its keeper knows it."""

    settings: SwitchSettings
    state: State = "unknown"
    setting: str | None = None  # wanted last
    fence: int = 0
    operation: int | None = None  # in flight
    due_ns: int | None = None  # it has settled then, or a failed change is tried again
    failures: int = 0  # in a row
    held: dict[tuple[LinkId, RequestId, int], SettingWanted] = field(
        default_factory=dict[tuple[LinkId, RequestId, int], SettingWanted]
    )


class SwitchKeeper:
    """Part of every node that owns a switch."""

    def __init__(self, network: NetworkSettings, node: NodeId) -> None:
        self.down: dict[LinkId, str] = {}
        self.switches: dict[SwitchId, Switch] = {
            name: Switch(switch) for name, switch in network.switches.items() if switch.owner == node
        }
        self._earlier = 0
        self._links = network.links
        self._retry_ns = network.timers.plan_renew_ns
        memory = network.nodes[node].memory
        self._limit_ns = 0 if memory is None else memory.operation_limit_ns

    def on_events(self) -> Mapping[type, Handler]:
        return {Started: self._on_started, SwitchSet: self._on_set, DarkChecked: self._on_checked}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {SettingWanted: self._on_wanted, LinkWithdrawn: self._on_withdrawn}

    def gives(self) -> frozenset[type]:
        return frozenset((LinkRequested,))

    def deadline_ns(self) -> int | None:
        return min(
            (switch.due_ns for switch in self.switches.values() if switch.due_ns is not None), default=None
        )

    def on_deadline(self, step: Step) -> None:
        for switch in self.switches.values():
            if switch.due_ns is None or switch.due_ns > step.now_ns:
                continue
            switch.due_ns = None
            if switch.state == "settling":
                switch.state = "checking"
                switch.operation = step.operation()
                step.order(
                    CheckDark(
                        operation=switch.operation,
                        switch=switch.settings.switch,
                        setting=switch.setting or "",
                        fence=switch.fence,
                        within_ns=switch.settings.check_ns + self._limit_ns,
                    )
                )
            elif switch.state == "down" and switch.setting is not None:
                self._move(step, switch)

    def _on_started(self, step: Step, event: Started) -> None:
        """A restarted node outbids the fences of its earlier life."""
        self._earlier = event.incarnation * FENCES_PER_INCARNATION

    # ---- what is wanted

    def _on_wanted(self, step: Step, notice: SettingWanted) -> None:
        through = self._links[notice.plan.link].through
        assert through is not None
        switch = self.switches[through.switch]
        switch.held[notice.plan.link, notice.plan.request, notice.plan.tree] = notice
        fence = self._earlier + notice.fence
        if switch.setting != through.setting or switch.fence != fence:
            for link in self._links_of(switch):
                self.down.pop(link, None)  # who asks for that setting again has it tried again
            switch.setting, switch.fence, switch.failures = through.setting, fence, 0
            self._move(step, switch)
        elif switch.state == "ready":
            self._release(step, switch)

    def _on_withdrawn(self, step: Step, notice: LinkWithdrawn) -> None:
        for switch in self.switches.values():
            gone = [key for key in switch.held if key[:2] == (notice.link, notice.request)]
            for key in gone:
                del switch.held[key]

    def _release(self, step: Step, switch: Switch) -> None:
        """The links of the setting may begin."""
        held, switch.held = switch.held, {}
        for wanted in held.values():
            step.tell(LinkRequested(plan=wanted.plan, waits=wanted.waits))

    # ---- the change

    def _move(self, step: Step, switch: Switch) -> None:
        assert switch.setting is not None
        switch.state, switch.due_ns = "moving", None
        switch.operation = step.operation()
        step.order(
            SetSwitch(
                operation=switch.operation,
                switch=switch.settings.switch,
                setting=switch.setting,
                fence=switch.fence,
                within_ns=self._limit_ns,
            )
        )

    def _on_set(self, step: Step, event: SwitchSet) -> None:
        """An answer to an order that a later one has overtaken is no news."""
        switch = self._waiting_for(event.operation)
        if switch is None:
            return
        if event.ended != "done":
            self._failed(step, switch, f"the change to {switch.setting} {_ended(event.ended, event.reason)}")
            return
        switch.state, switch.operation = "settling", None
        switch.due_ns = step.now_ns + switch.settings.settle_ns

    def _on_checked(self, step: Step, event: DarkChecked) -> None:
        switch = self._waiting_for(event.operation)
        if switch is None:
            return
        limit_hz = switch.settings.dark_max_hz
        if event.ended != "done":
            self._failed(step, switch, f"the dark check {_ended(event.ended, event.reason)}")
        elif event.rate_hz is not None and event.rate_hz > limit_hz:
            told = f"{event.rate_hz:g} counts per second without light, {limit_hz:g} are allowed"
            self._failed(step, switch, told)
        else:
            switch.state, switch.operation, switch.failures = "ready", None, 0
            for link in self._links_of(switch):
                self.down.pop(link, None)
            self._tell(step, switch, "switch_ready", "")
            self._release(step, switch)

    def _failed(self, step: Step, switch: Switch, reason: str) -> None:
        switch.state, switch.operation = "down", None
        switch.due_ns = step.now_ns + (self._retry_ns << min(switch.failures, RETRIES_DOUBLED_MAX))
        switch.failures += 1
        for link in self._links_of(switch):
            self.down[link] = reason
        self._tell(step, switch, "switch_down", reason)

    def _waiting_for(self, operation: int) -> Switch | None:
        return next((one for one in self.switches.values() if one.operation == operation), None)

    def _links_of(self, switch: Switch) -> list[LinkId]:
        """Links that exist at the wanted setting."""
        return [
            name
            for name, link in self._links.items()
            if link.through is not None
            and (link.through.switch, link.through.setting) == (switch.settings.switch, switch.setting)
        ]

    def _tell(self, step: Step, switch: Switch, name: str, reason: str) -> None:
        fields: dict[str, str | int | float | bool | None] = {
            "switch": switch.settings.switch,
            "setting": switch.setting,
            "fence": switch.fence,
            "links": " ".join(self._links_of(switch)),
        }
        step.order(Report(name=name, request=None, fields=fields | ({"reason": reason} if reason else {})))


def _ended(ended: str, reason: str) -> str:
    how = "failed" if ended == "failed" else "has an unknown end"
    return f"{how}: {reason}" if reason else how
