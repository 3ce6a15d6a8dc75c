"""A process of a sweep: its task, as a line of JSON on standard input; what came of it, in the file that it names.

Standard input stays open as long as the sweep lives: where it closes, this process is alone and stops, too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

__all__ = ["main"]

INTERRUPTED = 130  # exit status, as a shell has it


def main() -> int:
    """Do the task on standard input; the exit status is 0 whatever came of it, unless it was interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job begins without
    given = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_when_alone, daemon=True).start()
    try:
        from vczoo.io.files import write_text
        from vczoo.training.sweeps.tasks import Task, perform

        outcome = perform(Task.of(given["task"]))
        write_text(Path(given["outcome"]), json.dumps(asdict(outcome)))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _stop_when_alone() -> None:
    """Wait for the end of the sweep's process, and then do what Ctrl-C does: a checkpoint is written."""
    while os.read(0, 1):  # not sys.stdin, whose lock Python would wait for when it ends
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
