"""The worker process of a sweep.

It reads one task as a line of JSON on standard input, and writes the outcome to the file named there. Standard input
stays open while the sweep runs; when it closes, the worker stops, too.
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

INTERRUPTED = 130  # exit status, as in shells


def main() -> int:
    """Run the task on standard input. The exit status is 0 even if the task failed, and 130 if it was interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts without it
    message = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_when_alone, daemon=True).start()
    try:
        from vczoo.io.files import write_text
        from vczoo.training.sweeps.tasks import Task, perform

        outcome = perform(Task.of(message["task"]))
        write_text(Path(message["outcome"]), json.dumps(asdict(outcome)))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _stop_when_alone() -> None:
    """Wait until the sweep's process ends, then interrupt this one as Ctrl-C would, so that it writes a checkpoint."""
    while os.read(0, 1):  # not sys.stdin: Python would wait for its lock on exit
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
