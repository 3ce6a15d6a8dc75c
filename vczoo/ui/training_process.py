"""Fine-tunes in processes of their own, which a page starts, follows, stops and resumes.

A process because a fine-tune uses torch's global random state and much memory, and because it has to end when the page
that started it is gone. It listens at a pipe: a message, or the end of the server, interrupts it as Ctrl-C does, so
that it writes a checkpoint. By another pipe it says how it ended. Two pipes, because a socket that is closed with an
unread message would lose the one in the other direction.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vczoo.errors import VczooError
from vczoo.ui.step_losses import StepLosses, read_losses

__all__ = ["FineTune", "Order", "run_order", "step_file"]

JOIN_SECONDS = 10.0
STOPPED = "stopped"

State = Literal["running", "finished", "stopped", "failed"]


class Order(NamedTuple):
    """What to train.

    Attributes:
        recipe: Name of the recipe.
        clips: The recordings.
        speaker: Whose they are.
        out: The run folder to create, or to resume in.
        overrides: Changes to the recipe.
    """

    recipe: str
    clips: tuple[str, ...]
    speaker: str
    out: str
    overrides: tuple[str, ...] = ()


class FineTune:
    """A fine-tune in a process of its own.

    Args:
        order: What to train.
        most_seconds: The longest that it may take; then it is stopped.
        work: What the process runs, with the order, whether to resume, and its ends of the two pipes.

    Attributes:
        state: How it is.
        message: Why it failed; "" otherwise.
    """

    def __init__(
        self,
        order: Order,
        most_seconds: float,
        work: Callable[[Order, bool, Connection, Connection], None] | None = None,
    ) -> None:
        self.order, self.most_seconds, self.work = order, most_seconds, work or run_order
        self.state: State = "stopped"
        self.message = ""
        self._process: Any = None
        self._pipes: tuple[Connection, Connection] | None = None
        self._asked = False
        self._began = 0.0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start, or resume what was stopped.

        Raises:
            VczooError: It runs already.
        """
        with self._lock:
            if self.state == "running":
                raise VczooError("this voice is being tuned already; wait, or stop it first")
            # spawn: a fork would copy the locks of the server's threads as they are.
            context = multiprocessing.get_context("spawn")
            hear, stop = context.Pipe(duplex=False)
            words, say = context.Pipe(duplex=False)
            resume = (Path(self.order.out) / "checkpoint.safetensors").is_file()
            self._process = context.Process(target=self.work, args=(self.order, resume, hear, say), daemon=True)
            self._process.start()
            hear.close()
            say.close()
            self._pipes, self._asked = (stop, words), False
            self.state, self.message, self._began = "running", "", time.monotonic()

    def poll(self) -> State:
        """Look how it is, and stop it if it takes too long."""
        with self._lock:
            if self.state != "running" or self._pipes is None:
                return self.state
            ended = not self._process.is_alive()  # before the look at the pipe: its word may come just then
            if time.monotonic() - self._began > self.most_seconds:
                self._send_stop()
            words = self._pipes[1]
            if words.poll():
                with suppress(EOFError):
                    self._settle(words.recv())
            if self.state == "running" and ended and self._asked:
                self._settle(STOPPED)
            elif self.state == "running" and ended:
                self._settle(f"the training ended without a word (exit status {self._process.exitcode})")
            return self.state

    def stop(self) -> None:
        """Ask it to write a checkpoint and end."""
        with self._lock:
            self._send_stop()

    def close(self) -> None:
        """End it, and wait until it has ended."""
        self.stop()
        if self._process is not None:
            self._process.join(JOIN_SECONDS)
            if self._process.is_alive():
                self._process.kill()
                self._process.join(JOIN_SECONDS)
                self.state = "stopped"
            self.poll()

    def history(self) -> list[dict[str, Any]]:
        """The figures of each finished epoch, as in metrics.jsonl."""
        try:
            lines = (Path(self.order.out) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]
        except (OSError, ValueError):  # none yet
            return []

    def losses(self) -> list[tuple[float, float]]:
        """The training loss of each finished step, with the epochs that were done by then, a fraction."""
        return read_losses(step_file(self.order))

    def _send_stop(self) -> None:
        if self._pipes is not None and self.state == "running" and not self._asked:
            self._asked = True
            with suppress(OSError):
                self._pipes[0].send("stop")

    def _settle(self, word: str) -> None:
        self.state = "finished" if not word else "stopped" if word == STOPPED else "failed"
        self.message = "" if word in ("", STOPPED) else word
        self._process.join(JOIN_SECONDS)


def step_file(order: Order) -> Path:
    """The file of the losses of all steps, beside the run folder."""
    return Path(f"{order.out}-steps.txt")


def run_order(order: Order, resume: bool, hear: Connection, say: Connection) -> None:
    """Train, in the process: send "" at the end, or why it ended otherwise."""
    import _thread

    import vczoo.training.finetune  # noqa: F401 - first: an interrupted import raises errors of any kind

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a server in the background of a shell ignores it

    asked = threading.Event()

    def listen() -> None:
        with suppress(EOFError, OSError):
            hear.recv()
        asked.set()
        _thread.interrupt_main()

    try:
        threading.Thread(target=listen, daemon=True).start()
        _train(order, resume)
        word = ""
    except KeyboardInterrupt:
        word = STOPPED
    except VczooError as error:
        word = str(error)
    except Exception as error:
        word = (
            STOPPED
            if asked.is_set()
            else f"unexpected {type(error).__name__}: {error}; this is a fault of vczoo or of a plugin"
        )
    with suppress(OSError):  # the server is gone
        say.send(word)


def _train(order: Order, resume: bool) -> None:
    from vczoo.training.finetune import finetune
    from vczoo.ui.clip_manifest import write_manifest

    chosen = any(override.startswith("training.criterion=") for override in order.overrides)
    measures = None if chosen else _measures()
    criterion = ["training.criterion=similarity"] if measures else []
    finetune(
        order.recipe,
        write_manifest([Path(clip) for clip in order.clips], order.speaker, Path(f"{order.out}-clips.jsonl")),
        order.out,
        [*order.overrides, *criterion],
        resume=resume,
        cache=f"{order.out}-cache",  # not the user's cache: it goes with the session
        progress=False,
        measures=measures,
        callbacks=[StepLosses(step_file(order))],
    )


def _measures() -> Any:
    """Models that measure similarity, and words if an ASR is on this machine; None without the extra `eval`."""
    import vczoo

    choices: Sequence[Sequence[str]] = (["moonshine"], ["pocketsphinx"], [])
    for asr in choices:
        with suppress(VczooError):
            return vczoo.load_measures(asr=asr, naturalness=False)
    return None
