"""The watch over one lab, for all browsers together: looks once a second and makes one view of it.

Owns the loop and its failures: a look that fails is told in the log and in health, and the view grows old,
which every browser shows. Refuses browsers, and to look for each of them: a hundred people cost the lab what
one costs.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from bellwire.calibration.store import CalibrationStore, store_in
from bellwire.cli.calibrations import described, finite
from bellwire.core.errors import BellwireError
from bellwire.core.ids import LinkId
from bellwire.northbound.requests import FINAL_STATES
from bellwire.northbound.service import Northbound
from bellwire.northbound.store import KeptNotification, KeptRequest
from bellwire.page.calibrations import Calibrated
from bellwire.page.gathering import Gathering
from bellwire.page.requests import SHOWN
from bellwire.page.view import LabModel, LabView

LOOK_S: Final = 1.0
CALIBRATIONS_S: Final = 5.0
NEWS_MAX: Final = 500
"""Notifications of one look; what is more comes with the next ones."""
PAST_NEWS: Final = 500
"""Notifications from before the start that are read, so that a restarted server knows what happened."""
UNFINISHED: Final = ("recording", "planning", "queued", "in_progress", "suspended")


class Watch:
    """Over the lab of one server, from `start` to `stop`."""

    def __init__(self, service: Northbound, *, look_s: float = LOOK_S) -> None:
        self.service = service
        self.model = LabModel(service.lab)
        self.view: LabView | None = None
        self.watchers = 0  # browsers that look now
        self.on_view: Callable[[LabView], None] = _nobody_looks
        network = service.lab.network
        stations = frozenset(name for name, node in network.nodes.items() if node.role == "station")
        self._gathering = Gathering(tuple(service.lab.addresses), stations, service.agents)
        self._calibrations: CalibrationStore = store_in(service.state_dir)
        self._calibrations_due_s = 0.0
        self._last: int | None = None  # number of the latest notification that was read
        self._look_s = look_s
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._keep_looking())

    async def stop(self) -> None:
        """Look no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> LabView:
        """Look now. Raises BellwireError when what is kept on the disk cannot be read."""
        look = await self._gathering.look(watched=self.watchers > 0)
        requests, told, calibrated = await asyncio.gather(self._requests(), self._news(), self._calibrated())
        self.view = view = self.model.take(look, requests, told, calibrated)
        self.on_view(view)
        return view

    async def _keep_looking(self) -> None:
        while True:
            begun_s = time.monotonic()
            try:
                await self.look()
            except BellwireError as problem:
                self.service.health.count("page_not_looked", problem=str(problem))
                self._log.error("page_not_looked", problem=str(problem))
            await asyncio.sleep(max(0.05, self._look_s - (time.monotonic() - begun_s)))

    async def _requests(self) -> list[KeptRequest]:
        """Those that are not over, and the newest of all."""
        store = self.service.store
        unfinished, newest = await asyncio.gather(
            store.requests(None, SHOWN, UNFINISHED), store.requests(None, SHOWN, tuple(FINAL_STATES))
        )
        return [*unfinished, *newest]

    async def _news(self) -> tuple[KeptNotification, ...]:
        store = self.service.store
        if self._last is None:
            _, newest = await store.span()
            self._last = max(0, newest - PAST_NEWS)
        told = await store.notifications(self._last, NEWS_MAX, kinds=("request_status", "report"))
        if told:
            self._last = told[-1].number
        return told

    async def _calibrated(self) -> dict[LinkId, Calibrated] | None:
        if time.monotonic() < self._calibrations_due_s:
            return None
        self._calibrations_due_s = time.monotonic() + CALIBRATIONS_S
        return await asyncio.to_thread(self._read_calibrations)

    def _read_calibrations(self) -> dict[LinkId, Calibrated]:
        lab, now_ns = self.service.lab, time.time_ns()
        return {
            name: Calibrated(
                finite(described(lab, self._calibrations, name, None, now_ns, history=False)), now_ns
            )
            for name in lab.network.links
        }


def _nobody_looks(_view: LabView) -> None:
    """Before a page is there."""
