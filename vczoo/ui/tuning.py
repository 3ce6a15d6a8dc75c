"""Fine-tune of a session: start, follow, stop and resume it, and show its curves and the advice on when to stop."""

from __future__ import annotations

import html
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vczoo.errors import RunError, VczooError
from vczoo.io.names import file_stem
from vczoo.io.text import counted
from vczoo.ui.markup import file_address, message, note
from vczoo.ui.page import Page
from vczoo.ui.pictures import curves_svg
from vczoo.ui.sessions import Session
from vczoo.ui.stop_advice import stop_advice
from vczoo.ui.training_process import FineTune, Order, step_file

__all__ = [
    "current_tuning",
    "follow_tuning",
    "resume_tuning",
    "start_tuning",
    "stop_tuning",
    "tuned_runs",
    "tuning_view",
]

MEASURED = (
    "Similarity and wrong characters are of the held-out clips, converted into the voice that they already have: they "
    "say whether the voice and the words survive, not yet how another speaker sounds. To hear that, convert a "
    "recording of somebody else."
)
LEFT_OUT = {"manifest.jsonl", "checkpoint.safetensors"}  # of a download: the former names folders of the server


@dataclass
class Tuning:
    """The last fine-tune of a session.

    Attributes:
        training: The process.
        epochs: How many epochs it takes.
        download: The run as a zip file, once it is finished.
        losses: The training loss of each step, with the epochs that were done by then, a fraction.
        drawn: The number of epochs and of steps in `curves`.
        curves: The curves, as SVG text.
    """

    training: FineTune
    epochs: int
    download: Path | None = None
    losses: list[tuple[float, float]] = field(default_factory=list)
    drawn: tuple[int, int] = (0, 0)
    curves: str = ""


def start_tuning(session: Session, page: Page, recipe: str, name: str, epochs: int) -> None:
    """Start a fine-tune on the clips of a session.

    Raises:
        VczooError: One is running, or the folder of the new run exists.
    """
    with session.lock:
        if current_tuning(session):
            raise VczooError("this voice is being tuned already; wait, or stop it first")
        speaker = f"{name} tuned"
        out = (page.settings.out or session.new_folder()) / file_stem(speaker)
        if (out / "vczoo.yaml").exists():
            raise RunError(f"there is a run called {out.name} already; choose another name for the voice")
        order = Order(
            recipe, tuple(map(str, session.values["clips"])), speaker, str(out), (f"training.epochs={epochs}",)
        )
        training = FineTune(order, page.bounds.training_seconds)
        training.start()
        session.values["tuning"] = Tuning(training, epochs)
        session.busy = lambda: current_tuning(session) is not None
        session.closing.append(training.close)


def stop_tuning(session: Session) -> None:
    """Ask the fine-tune to write a checkpoint and end.

    Raises:
        VczooError: None is running.
    """
    tuning = current_tuning(session)
    if tuning is None:
        raise VczooError("nothing is being tuned, so there is nothing to stop")
    tuning.training.stop()


def resume_tuning(session: Session) -> None:
    """Resume the fine-tune that was stopped.

    Raises:
        VczooError: None was stopped.
    """
    tuning: Tuning | None = session.values.get("tuning")
    if tuning is None or tuning.training.poll() not in ("stopped", "failed"):
        raise VczooError("no tuning was stopped, so there is nothing to resume")
    tuning.training.start()


def current_tuning(session: Session) -> Tuning | None:
    """The fine-tune that runs now; None if there is none."""
    tuning: Tuning | None = session.values.get("tuning")
    return tuning if tuning is not None and tuning.training.poll() == "running" else None


def follow_tuning(session: Session, page: Page) -> bool:
    """Look how the fine-tune is, and add its voice to the menus once it is finished.

    Returns:
        Whether it has ended.
    """
    tuning: Tuning | None = session.values.get("tuning")
    if tuning is None:
        return True
    state = tuning.training.poll()
    with session.lock:
        out = Path(tuning.training.order.out)
        if state == "finished" and tuning.download is None:
            page.voices(session).add_tuned(out)
            tuning.download = _zipped(out, session.new_file(".zip"))
            tuned_runs(session)[tuning.training.order.speaker] = out
            shutil.rmtree(f"{out}-cache", ignore_errors=True)
            tuning.losses = tuning.training.losses()
            for file in (Path(f"{out}-clips.jsonl"), step_file(tuning.training.order)):
                file.unlink(missing_ok=True)
    return state != "running"


def tuned_runs(session: Session) -> dict[str, Path]:
    """The run folders that a session tuned, by their voices."""
    runs: dict[str, Path] = session.values.setdefault("tuned", {})
    return runs


def tuning_view(session: Session) -> str:
    """How the fine-tune is, its curves, and the advice, as HTML."""
    tuning: Tuning | None = session.values.get("tuning")
    if tuning is None:
        return ""
    training, history = tuning.training, tuning.training.history()
    done, state = len(history), training.poll()
    tuning.losses = training.losses() or tuning.losses
    drawn = (done, len(tuning.losses))
    if any(drawn) and drawn != tuning.drawn:
        tuning.curves, tuning.drawn = curves_svg(history, tuning.losses), drawn
    progress = f"epoch {done} of {tuning.epochs}"
    lines = {
        "running": note(
            f"Training: {progress}." if any(drawn) else "Preparing: running the frozen part over the clips."
        ),
        "stopped": message(f"Stopped: {progress}. Resume goes on from here."),
        "failed": message(training.message, alert=True),
        "finished": message(
            f"Finished: {counted(done, 'epoch')}. “{training.order.speaker}” is in the menus of voices."
        ),
    }
    view = lines[state]
    if tuning.download:
        view += (
            f'<p><a class="vz-link" href="{file_address(tuning.download)}" '
            f'download="{html.escape(Path(training.order.out).name)}.zip">Download the run</a></p>'
        )
    if history:
        view += message(stop_advice(history).reason)
    if any(drawn):
        label = html.escape(_described(history, tuning.losses))
        view += f'<div class="vz-curves" role="img" aria-label="{label}">{tuning.curves}</div>'
    if any("similarity" in record["validation"] for record in history):
        view += note(MEASURED)
    return view


def _described(history: Sequence[Mapping[str, Any]], losses: Sequence[tuple[float, float]]) -> str:
    """The curves in a sentence."""
    text = f"Curves of {counted(len(history), 'epoch')}."
    if history:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in history[-1]["validation"].items())
        return f"{text} The last one, on held-out speech: {figures}"
    return f"{text} The training loss of the last step: {losses[-1][1]:.3f}"


def _zipped(folder: Path, target: Path) -> Path:
    """The files of a run in a zip file, without those that name folders of this machine."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and file.name not in LEFT_OUT:
                archive.write(file, Path(folder.name) / file.relative_to(folder))
    return target
