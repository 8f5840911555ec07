"""Log lines on a full disk are lost and counted; nothing is raised."""

import os
import subprocess
import sys
from pathlib import Path

from bellwire.runtime.log_lines import LogLines

PROGRAM = """
import resource, sys, structlog
from bellwire.runtime.log_lines import LogLines, log_lines
structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=log_lines)
log = structlog.get_logger(node="a")
log.warning("there is room")
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
for method in (log.debug, log.info, log.warning, log.error, log.critical):
    method("there is none")
sys.exit(10 + LogLines.lost)
"""


def test_lines_that_find_no_room_are_lost_and_change_no_exit_code(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("wb") as stream:
        other = subprocess.run([sys.executable, "-c", PROGRAM], stdout=stream, stderr=stream, check=False)
    assert other.returncode == 15
    assert log.read_text(encoding="utf-8").splitlines() == ['{"node": "a", "event": "there is room"}']


def test_what_is_no_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
    LogLines(descriptor).error("half a sign: \ud800")
    os.close(descriptor)
    assert log.read_bytes() == b"half a sign: \\ud800\n"
