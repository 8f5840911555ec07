"""Children that never outlive the supervisor: its end of their stdin closes when it ends, however it ends.

Owns the watch in the child. Refuses signals sent to names or groups.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable

GRACE_S = 5.0
"""A child whose loop does not end within this after its parent is gone ends itself without ceremony."""
EXIT_ORPHANED = 75


def watch_parent(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Call `stop` in the loop when stdin reaches its end.

    A thread of its own, so that a stuck loop ends as well.
    """

    def wait() -> None:
        descriptor = sys.stdin.fileno()
        while os.read(descriptor, 256):
            pass
        if loop.is_closed():
            return
        loop.call_soon_threadsafe(stop)
        threading.Event().wait(GRACE_S)
        os._exit(EXIT_ORPHANED)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
