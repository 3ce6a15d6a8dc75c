"""`train_vocoder`: a recipe and recordings in; its vocoder, trained by itself, out as a file that recipes load."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import CorpusError, RecipeError, RunError, WeightsError
from vczoo.io.files import write_text
from vczoo.io.progress import NullProgress, ProgressBar
from vczoo.io.tensor_file import write_tensors
from vczoo.io.tensors import fingerprint, load_strictly
from vczoo.models.build import checked_recipe
from vczoo.models.part_options import check_part, run_check
from vczoo.models.recipe import Recipe
from vczoo.models.training_settings import VocoderTraining
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.runs.warm_start import vocoder_of_start
from vczoo.training.checkpoint import CHECKPOINT
from vczoo.training.vocoder.segments import VocoderSegments
from vczoo.training.vocoder.trainer import VocoderTrainer, fit_vocoder

__all__ = ["TrainedVocoder", "train_vocoder"]

TENSORS, RECIPE = "vocoder.safetensors", "recipe.yaml"

Location = str | os.PathLike[str]


@dataclass(frozen=True)
class TrainedVocoder:
    """What `train_vocoder` made.

    Attributes:
        file: the tensors, in the vocoder's own naming; `vocoder.weights` of any recipe with this vocoder takes it.
        vocoder: in eval mode.
        history: one record a validation, as in metrics.jsonl.
        seconds: spent on training.
    """

    file: Path
    vocoder: Vocoder
    history: list[dict[str, Any]]
    seconds: float


def train_vocoder(
    name: Location,
    data: Location | Sequence[Location],
    out: Location,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    resume: bool = False,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> TrainedVocoder:
    """Train a recipe's vocoder by itself, from where its `weights` stand: random ones, published ones or a file's;
    or from the vocoder of the recipe's `start`.

    It learns to make recordings again from their mels. Who speaks does not matter, and neither backbone nor heads
    are needed: the weights of the backbone are not asked for.

    Args:
        name: a recipe or a recipe's .yaml file; its `vocoder_training` says how.
        data: a folder `<speaker>/*.wav`, a .csv or .jsonl manifest, or several of them.
        out: a new folder for vocoder.safetensors, metrics.jsonl and recipe.yaml (what it was trained as).
        overrides: of the recipe, `["vocoder_training.steps=3000"]` or a mapping of the same.
        resume: go on with what was interrupted in `out`; the outcome is that of an uninterrupted training.
        device: where it computes; a GPU where there is one.
        progress: show it on standard error.

    Raises:
        CorpusError: the recordings cannot be trained on.
        RecipeError, UnknownNameError, WeightsError: the recipe cannot be built, or its vocoder not be trained.
        RunError: `out` exists, there is nothing to resume, the disk refuses, or the recipe's start cannot be loaded.
        VczooError: the loss is no longer finite.
        KeyboardInterrupt: after a checkpoint was written; `resume` goes on from it.
    """
    folder = Path(out)
    _check_out(folder, resume)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    recipe = checked_recipe(os.fspath(name), overrides)
    settings = recipe.vocoder_training or VocoderTraining()
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        vocoder = _build(recipe)
        spec = _trainable(recipe, vocoder)
        corpus = read_corpus(data)
        if not corpus.split("validation"):
            raise CorpusError(
                "no recording is marked for validation, which shows how the training goes; mark some in the "
                "manifest, or leave the column split empty"
            )
        told = f"{recipe.vocoder}\n{settings}\n{corpus.fingerprint()}\n{fingerprint(vocoder.state_dict())}"
        identity = hashlib.sha256(told.encode()).hexdigest()
        length = max(1, round(settings.crop_seconds * spec.frame_rate_hz)) * spec.hop_length
        excerpts = VocoderSegments(corpus.split("train"), spec.sample_rate_hz, length)
        held_out = [Waveform.read(u.path, spec.sample_rate_hz) for u in corpus.split("validation")]
        trainer = VocoderTrainer(vocoder, spec, settings, device)
        try:
            write_text(folder / RECIPE, recipe.to_yaml())
        except OSError as error:
            raise RunError(f"{folder}: cannot be written to ({error}); choose another --out") from error
        with ProgressBar() if progress else NullProgress() as watcher:
            watcher.say(corpus.report())
            state = fit_vocoder(trainer, excerpts, held_out, folder=folder, identity=identity, watcher=watcher)
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in vocoder.state_dict().items()}
    notes = {"vocoder": recipe.vocoder.use if recipe.vocoder else "", "data": corpus.fingerprint()}
    try:
        write_tensors(folder / TENSORS, tensors, notes)
    except OSError as error:
        raise RunError(f"{folder}: {TENSORS} cannot be written ({error}); free some space and resume") from error
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return TrainedVocoder(folder / TENSORS, vocoder, state.history, state.seconds)


def _check_out(folder: Path, resume: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose a folder for the vocoder")
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if TENSORS in there:
        raise RunError(
            f"{folder}: a trained vocoder is here; choose another --out. To train it further, give "
            f"vocoder.weights={folder / TENSORS}"
        )
    if resume and CHECKPOINT not in there:
        raise RunError(f"{folder}: there is no {CHECKPOINT} to resume; start without --resume")
    if there and not resume:
        hint = "; --resume goes on with it" if CHECKPOINT in there else ""
        raise RunError(f"{folder} exists and is not empty{hint}; choose another --out, or remove it")


def _build(recipe: Recipe) -> Vocoder:
    if recipe.vocoder is None:
        raise RecipeError(recipe.name, ["vocoder: this recipe has none; give one, as in vocoder.use=vocos/small-16khz"])
    faults: list[str] = []
    given = vocoder_of_start(recipe)
    ready = check_part(faults, "vocoder", "vocoder", recipe.vocoder, weights_needed=not given)
    if ready and given and "weights" in ready.options:
        ready = replace(ready, options=ready.options | {"weights": "random"})
    vocoder: Vocoder | None = run_check(faults, "vocoder", lambda: ready.make({}), (WeightsError,)) if ready else None
    if vocoder is None:
        raise RecipeError(recipe.name, faults)
    if given:
        load_strictly(vocoder, given, where=f"the vocoder of the start {recipe.start}")
    return vocoder


def _trainable(recipe: Recipe, vocoder: Vocoder) -> MelSpec:
    """The mels that a vocoder is trained on."""
    assert recipe.vocoder is not None
    use = recipe.vocoder.use
    if not any(parameter.requires_grad for parameter in vocoder.parameters()):
        raise RecipeError(
            recipe.name,
            [f"vocoder.use: {use} has no parameters to train; vocos/small-16khz has, and `vczoo list --parts vocoder`"],
        )
    if not isinstance(vocoder.accepts, MelSpec):
        raise RecipeError(recipe.name, [f"vocoder.use: {use} reads a backbone's frames; only vocoders of mels train"])
    return vocoder.accepts
