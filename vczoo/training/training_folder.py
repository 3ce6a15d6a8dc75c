"""The folder that a training writes into: the lock that keeps other trainings out, and whether it can be used."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch

from vczoo.errors import RunError
from vczoo.io.files import write_fault, write_text
from vczoo.io.lock import held
from vczoo.io.temporary import sweep_partials
from vczoo.runs.run import MANIFEST, is_run
from vczoo.training.checkpoints.checkpoint import CHECKPOINT
from vczoo.training.distributed import DistributedContext
from vczoo.training.tracking import LOGS

__all__ = ["LOCK", "RECIPE", "check_contents", "check_out", "check_shared", "training_scope", "write_output"]

LOCK, RECIPE = ".training.lock", "recipe.yaml"
BEGINNINGS = {MANIFEST, RECIPE, LOGS}  # what trainings write before their first checkpoint


@contextmanager
def training_scope(
    folder: Path | None, check: Callable[[Path], None], seed: int, team: DistributedContext
) -> Iterator[None]:
    """Begin a training: hold its folder, and seed torch's global random state, which is as before afterwards.

    Args:
        folder: As for `_held_folder`, which the main process calls; None if the training writes nothing.
        check: As for `_held_folder`.
        seed: The seed of the training.
        team: The processes that train together.

    Raises:
        RunError: As for `_held_folder`.
    """
    with ExitStack() as stack:
        if folder:
            held_folder = _held_folder(folder, check)
            team.on_main_process(lambda: stack.enter_context(held_folder))
        stack.enter_context(torch.random.fork_rng())
        torch.manual_seed(seed)
        yield


@contextmanager
def _held_folder(folder: Path, check: Callable[[Path], None]) -> Iterator[None]:
    """Hold the folder of a training, so that no other process trains in it.

    A training that ends before its first checkpoint leaves nothing behind, so that the same command can start again.
    If it was killed, its lock file is left, which shows that the rest is a training's, too; it is removed here.

    Args:
        folder: The folder; it is created if it does not exist.
        check: Raises RunError if the folder cannot be used. It is called before anything is written, and again once the
            folder is held, because another training may just have ended in it.

    Raises:
        RunError: Another process trains in the folder, or nothing can be written there.
    """
    if fault := write_fault(folder):
        raise RunError(f"{folder}: nothing can be written there ({fault}); choose another --out")
    begun = (folder / LOCK).exists()
    if not begun:
        check(folder)
    with held(folder / LOCK, what="another training runs here"):
        sweep_partials(folder)
        if begun:
            _remove_beginnings(folder)
        check(folder)
        try:
            yield
        except BaseException:
            _remove_beginnings(folder)
            raise


def check_contents(folder: Path, resume: bool) -> None:
    """Check that a folder without a finished training can be used for a new one, or has one to resume.

    Raises:
        RunError: There are other files, or no checkpoint to resume.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose a folder")
    names = _names(folder)
    if resume and CHECKPOINT not in names:
        raise RunError(f"{folder}: there is no {CHECKPOINT} to resume; start without --resume")
    if names and not resume:
        hint = "; --resume continues it" if CHECKPOINT in names else f" ({', '.join(sorted(names)[:5])})"
        raise RunError(f"{folder} exists and is not empty{hint}; choose another --out, or remove it")


def check_out(folder: Path, resume: bool) -> None:
    """Check that a fine-tune can be written to a folder, which may hold a finished run to train further.

    Raises:
        RunError: There is a finished run but nothing to resume, or as `check_contents`.
    """
    if not is_run(folder):
        check_contents(folder, resume)
    elif not resume:
        place = folder if folder.is_absolute() or str(folder).startswith(".") else f"./{folder}"
        raise RunError(
            f"{folder}: a finished run is here; choose another --out, load it as {place}, or add --resume and more "
            "training.epochs to train it further"
        )


def check_shared(folder: Path, team: DistributedContext) -> None:
    """Check that all processes, perhaps on several hosts, see the same folder, once its manifest is written.

    Raises:
        RunError: One of them does not see it.
    """
    if team.anybody(not (folder / MANIFEST).is_file()):
        raise RunError(f"{folder}: not every process sees this folder; hosts that train together need a shared disk")


def write_output(path: Path, text: str) -> None:
    """Write a text file of a training.

    Raises:
        RunError: The disk cannot be written. The previous file is kept.
    """
    try:
        write_text(path, text)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror or error}); free some space, then resume") from error


def _names(folder: Path) -> set[str]:
    """The names of what is in a folder, besides locks and the unfinished files of processes that were killed."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return {name for name in names if not (name.startswith(".") and name.endswith((".partial", "lock")))}


def _remove_beginnings(folder: Path) -> None:
    """Remove what a training wrote before its first checkpoint, if there is nothing else."""
    if _names(folder) <= BEGINNINGS:
        for name in (MANIFEST, RECIPE):
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / LOGS, ignore_errors=True)
