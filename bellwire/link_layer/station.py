"""The heralding station's part of the link layer: matches both sides' attempts and numbers the successes.

Owns success numbers, the memory of recent reports and the bounds that make absence mean failure. Refuses to
report an attempt that only one side, or the two sides under different windows, took part in (algorithms.md
10.2: NO_MESSAGE_OTHER, QUEUE_MISMATCH).
"""

from collections import deque
from collections.abc import Mapping

from bellwire.core.effects import Report, StartRun
from bellwire.core.events import DeviceChanged, Received, StationDecided, StationHeralded, StationLost
from bellwire.core.ids import NodeId
from bellwire.core.link_messages import (
    HeraldBound,
    HeraldReport,
    HeraldUnknown,
    HeraldWanted,
    LinkReset,
    Window,
    WindowClosed,
    WindowOpened,
)
from bellwire.core.machine import Handler, Step
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.link_layer.agreement import WINDOWS_KEPT
from bellwire.link_layer.binding import covering

REPORTS_KEPT = 4096
"""Reports that can be repeated for an end that missed them."""

UNMATCHED_MAX = 256
"""Successes that wait for the second side's word."""


class HeraldingStation:
    """Part of a StationMachine; serves one link."""

    def __init__(self, network: NetworkSettings, node: NodeId) -> None:
        self._network = network
        self._link: LinkSettings = network.links[network.nodes[node].links[0]]
        self._opened: dict[NodeId, list[Window]] = {end: [] for end in self._link.nodes}
        self._run: int | None = None
        self._started: int | None = None
        self._ready = True
        self._number = 0
        self._reports: dict[int, HeraldReport] = {}
        self._unmatched: deque[tuple[StationHeralded, int]] = deque()
        self._decided = -1
        self._bound_at_ns: int | None = None
        self.counters = {
            "reported": 0,
            "no_message_other": 0,
            "queue_mismatch": 0,
            "at_rest": 0,
            "unknown_ranges": 0,
            "repeated": 0,
        }

    def on_events(self) -> Mapping[type, Handler]:
        return {
            StationHeralded: self._heralded,
            StationDecided: self._bound,
            StationLost: self._lost,
            DeviceChanged: self._device_changed,
        }

    def on_messages(self) -> Mapping[type, Handler]:
        return {
            WindowOpened: self._window_opened,
            HeraldWanted: self._repeat,
            WindowClosed: self._window_closed,
        }

    def on_notices(self) -> Mapping[type, Handler]:
        return {}

    def gives(self) -> frozenset[type]:
        return frozenset()

    def deadline_ns(self) -> int | None:
        deadline = self._bound_at_ns
        if self._unmatched:
            oldest = self._unmatched[0][1]
            deadline = oldest if deadline is None else min(deadline, oldest)
        return deadline

    def on_deadline(self, step: Step) -> None:
        now_ns = step.now_ns
        while self._unmatched and self._unmatched[0][1] <= now_ns:
            self._unmatched.popleft()
            self.counters["no_message_other"] += 1
        if self._bound_at_ns is not None and self._bound_at_ns <= now_ns:
            self._bound_at_ns = None
            self._tell_bound(step)

    def _window_opened(self, step: Step, received: Received) -> None:
        message = received.message
        assert isinstance(message, WindowOpened)
        window = message.window
        if received.source not in self._opened or (self._run is not None and window.run < self._run):
            return
        if window.run != self._run:
            self._run = window.run
            self._number = 0
            self._decided = -1
            self._reports.clear()
            self._unmatched.clear()
            for windows in self._opened.values():
                windows.clear()
        windows = self._opened[received.source]
        if not any(kept.fence == window.fence for kept in windows):
            windows.append(window)
            del windows[:-WINDOWS_KEPT]
        self._start_run(step, window)
        for _ in range(len(self._unmatched)):
            heralded, until_ns = self._unmatched.popleft()
            self._match(step, heralded, until_ns)

    def _window_closed(self, step: Step, received: Received) -> None:
        message = received.message
        assert isinstance(message, WindowClosed)
        if message.run == self._run:
            for windows in self._opened.values():
                windows.clear()

    def _start_run(self, step: Step, window: Window) -> None:
        if not self._ready or self._started == window.run:
            return
        self._started = window.run
        step.order(
            StartRun(
                link=self._link.link,
                run=window.run,
                epoch_ns=window.epoch_ns,
                period_ns=self._link.period_ns,
                lanes=self._link.lanes,
            )
        )

    def _heralded(self, step: Step, event: StationHeralded) -> None:
        if event.run != self._run:
            return
        self._match(step, event, step.now_ns + self._network.timers.answer_ns)

    def _match(self, step: Step, event: StationHeralded, until_ns: int) -> None:
        """Report a success that both sides announced under one window; else wait for the second side's
        word."""
        first, second = (covering(self._opened[end], event.attempt) for end in self._link.nodes)
        if first is None or second is None:
            if len(self._unmatched) < UNMATCHED_MAX:
                self._unmatched.append((event, until_ns))
            else:
                self.counters["no_message_other"] += 1
            return
        if first.fence != second.fence:
            self.counters["queue_mismatch"] += 1
            return
        if first.rest:
            self.counters["at_rest"] += 1  # light of a calibration, or a dark count
            return
        self._number += 1
        report = HeraldReport(
            link=event.link,
            run=event.run,
            number=self._number,
            attempt=event.attempt,
            lane=event.lane,
            code=event.code,
            at_ns=event.at_ns,
            sigma_ns=event.sigma_ns,
        )
        self._reports[self._number] = report
        if len(self._reports) > REPORTS_KEPT:
            del self._reports[self._number - REPORTS_KEPT]
        self.counters["reported"] += 1
        for end in self._link.nodes:
            step.send(end, report, "outcome")

    def _bound(self, step: Step, event: StationDecided) -> None:
        if event.run != self._run:
            return
        self._decided = max(self._decided, event.attempt)
        if self._bound_at_ns is None:
            self._bound_at_ns = step.now_ns + self._network.timers.herald_bound_ns

    def _tell_bound(self, step: Step) -> None:
        if self._run is None:
            return
        decided = min([self._decided, *(event.attempt - 1 for event, _ in self._unmatched)])
        left, right = (
            max((window.fence for window in self._opened[end]), default=0) for end in self._link.nodes
        )
        bound = HeraldBound(
            link=self._link.link,
            run=self._run,
            attempt=decided,
            number=self._number,
            fences=(left, right),
        )
        for end in self._link.nodes:
            step.send(end, bound, "control")

    def _lost(self, step: Step, event: StationLost) -> None:
        if event.run == self._run:
            self._tell_unknown(step, event.first, event.last)

    def _tell_unknown(self, step: Step, first: int, last: int) -> None:
        assert self._run is not None
        self.counters["unknown_ranges"] += 1
        unknown = HeraldUnknown(
            link=self._link.link, run=self._run, first=first, last=last, number=self._number
        )
        for end in self._link.nodes:
            step.send(end, unknown, "outcome")

    def _repeat(self, step: Step, received: Received) -> None:
        message = received.message
        assert isinstance(message, HeraldWanted)
        run = self._run
        if run is None or message.run != run:
            return
        oldest = self._number - len(self._reports) + 1
        if message.number < oldest:
            forgotten = HeraldUnknown(
                link=self._link.link, run=run, first=0, last=self._decided, number=oldest - 1
            )
            step.send(received.source, forgotten, "outcome")
        for number in range(max(message.number, oldest), self._number + 1):
            self.counters["repeated"] += 1
            step.send(received.source, self._reports[number], "outcome")

    def _device_changed(self, step: Step, event: DeviceChanged) -> None:
        """The analyser vanished or forgot its run: what it had not told is unknown, and side 0 must start
        anew."""
        if event.role != "station":
            return
        self._ready = event.ready
        step.order(
            Report(name="station_device", request=None, fields={"ready": event.ready, "reason": event.reason})
        )
        if event.ready and self._run is not None and (event.lost_state or self._started != self._run):
            self._tell_unknown(step, self._decided + 1, 2**62)
            step.send(self._link.nodes[0], LinkReset(link=self._link.link, reason=f"station: {event.reason}"))
