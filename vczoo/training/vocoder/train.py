"""Vocoder training: `train_vocoder` trains a recipe's vocoder alone and writes a file that recipes can load."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vczoo.audio.pitch import PitchTracker
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.data.excerpts import UtteranceReader
from vczoo.errors import ContractError, RecipeError, RunError, VczooError, WeightsError
from vczoo.io.device import choose_device
from vczoo.io.precision import single_precision
from vczoo.io.problems import Problems
from vczoo.io.progress import NullProgress, ProgressBar
from vczoo.io.tensor_file import write_tensors
from vczoo.io.tensors import fingerprint, load_strictly
from vczoo.models.assembly import make_tracker
from vczoo.models.build import build_freezing, checked_recipe
from vczoo.models.part_options import CheckedPart, build_part
from vczoo.models.recipe import Recipe
from vczoo.models.training_settings import VocoderTraining
from vczoo.modules.freezing.apply import OneStage, apply_freezing
from vczoo.modules.interfaces.freezing import Freezing
from vczoo.modules.interfaces.vocoder import PitchVocoder, Vocoder
from vczoo.runs.warm_start import vocoder_of_start
from vczoo.training.checkpoints.checkpoint import CHECKPOINT, TrainingState
from vczoo.training.checkpoints.identity import vocoder_identity
from vczoo.training.distributed import DistributedContext
from vczoo.training.setup import check_validation
from vczoo.training.trainer import Trainer
from vczoo.training.training_folder import RECIPE, check_contents, training_scope, write_output
from vczoo.training.vocoder.segments import VocoderSegments
from vczoo.training.vocoder.trainable import TrainableVocoder, VocoderProgress

__all__ = ["TrainedVocoder", "train_vocoder"]

TENSORS = "vocoder.safetensors"

Location = str | os.PathLike[str]


@dataclass(frozen=True)
class TrainedVocoder:
    """The result of `train_vocoder`.

    Attributes:
        file: The file of tensors, under the vocoder's own names. Any recipe with this vocoder can load it as
            `vocoder.weights`.
        vocoder: The trained vocoder, in eval mode.
        history: One record per validation, as in metrics.jsonl.
        seconds: The time spent on training.
    """

    file: Path
    vocoder: Vocoder
    history: list[dict[str, Any]]
    seconds: float


@single_precision()
def train_vocoder(
    name: Location,
    data: Location | Sequence[Location],
    out: Location,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    resume: bool = False,
    device: torch.device | str | None = None,
    progress: bool = True,
    speaker: str | None = None,
) -> TrainedVocoder:
    """Train a recipe's vocoder without its backbone and heads.

    The vocoder learns to reconstruct recordings from their mels, so it does not matter who speaks in them. Training
    starts from the vocoder's `weights` (random, published or from a file), or from the vocoder of the recipe's `start`.
    The backbone's weights are not loaded.

    Args:
        name: A recipe or a recipe's .yaml file. Its `vocoder_training` has the settings.
        data: A folder `<speaker>/*.wav`, a .csv or .jsonl manifest, a recording, or several of them.
        out: A new folder for vocoder.safetensors, metrics.jsonl and recipe.yaml (the recipe with its overrides).
        overrides: Changes to the recipe, as `["vocoder_training.steps=3000"]` or as a mapping.
        resume: Whether to resume the interrupted training in `out`. The result equals that of an uninterrupted one.
        device: The device to train on; by default a GPU if there is one.
        progress: Whether to show progress on standard error.
        speaker: The speaker of single recordings in `data`, as for `finetune`. It names them and changes nothing else.

    Raises:
        CorpusError: The recordings cannot be used for training.
        RecipeError, UnknownNameError, WeightsError: The recipe cannot be built, or its vocoder cannot be trained, for
            example because of `freezing.vocoder`.
        RunError: `out` already exists, another process trains in it, there is nothing to resume, the disk cannot be
            written, or the recipe's start cannot be loaded.
        VczooError: The loss is not finite, or several processes were started.
        KeyboardInterrupt: Training was interrupted, after it wrote a checkpoint that `resume` continues from.
    """
    folder, team = Path(out), DistributedContext(choose_device(device), "float32")
    if team.processes > 1:
        raise VczooError(f"a vocoder trains in one process, but {team.processes} were started; start a single one")
    recipe = checked_recipe(os.fspath(name), overrides)
    settings = recipe.vocoder_training or VocoderTraining()
    with training_scope(folder, lambda folder: _check_out(folder, resume), settings.seed, team):
        vocoder = _build(recipe)
        spec = _trainable(recipe, vocoder)
        corpus = read_corpus(data, speaker=speaker)
        check_validation(corpus, "shows how training progresses")
        identity = vocoder_identity(recipe, settings, corpus.fingerprint(), fingerprint(vocoder.state_dict()))
        part = OneStage("vocoder", vocoder)
        freezing = _freezing(recipe, part)
        trainable = TrainableVocoder(
            vocoder, spec, settings, team.device, *_recordings(corpus, vocoder, spec, settings, _tracker(recipe))
        )
        write_output(folder / RECIPE, recipe.to_yaml())
        with ProgressBar() if progress else NullProgress() as watcher:
            watcher.say(corpus.report())
            callbacks = [VocoderProgress(settings.steps, watcher)]
            state = TrainingState(identity)
            state = Trainer(trainable, folder, callbacks, average=settings.average, state=state, team=team).fit()
        if freezing:
            freezing.finish(part)
        _write(recipe, vocoder, corpus, folder)
        return TrainedVocoder(folder / TENSORS, vocoder, state.history, state.seconds)


def _freezing(recipe: Recipe, part: OneStage) -> Freezing | None:
    """Apply the recipe's strategy for the vocoder, and return it; None if all of the vocoder trains.

    Raises:
        RecipeError: The strategy leaves nothing to train, or is one that this training does not support.
    """
    freezing = build_freezing(recipe).vocoder
    if freezing is None:
        return None
    problems = Problems()
    with problems.at("freezing.vocoder"):
        if freezing.stays or type(freezing).penalty is not Freezing.penalty:
            raise ContractError(
                "a vocoder is trained without adapters and without terms of the loss for its start; use another "
                "strategy, such as lora, bitfit or selected"
            )
        freezing.bind(part)
        freezing.prepare(part)
        if apply_freezing(part, freezing, 0) == (0.0,):
            raise ContractError("nothing of the vocoder would train; choose another strategy, or leave it out")
    problems.raise_if_any(recipe.name)
    return freezing


def _recordings(
    corpus: Corpus, vocoder: Vocoder, spec: MelSpec, settings: VocoderTraining, tracker: PitchTracker | None
) -> tuple[VocoderSegments, list[Waveform]]:
    """The segments to train on, and the held-out recordings."""
    length = max(1, round(settings.crop_seconds * spec.frame_rate_hz)) * spec.hop_length
    contours = spec if isinstance(vocoder, PitchVocoder) else None
    reader = UtteranceReader(spec.sample_rate_hz)
    segments = VocoderSegments(corpus.split("train"), spec.sample_rate_hz, length, contours, tracker)
    return segments, [reader.read(utterance) for utterance in corpus.split("validation")]


def _write(recipe: Recipe, vocoder: Vocoder, corpus: Corpus, folder: Path) -> None:
    """Write the trained vocoder, and remove the checkpoint."""
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in vocoder.state_dict().items()}
    metadata = {"vocoder": recipe.vocoder.use if recipe.vocoder else "", "data": corpus.fingerprint()}
    try:
        write_tensors(folder / TENSORS, tensors, metadata)
    except OSError as error:
        raise RunError(f"{folder}: {TENSORS} cannot be written ({error}); free some space and resume") from error
    with suppress(OSError):  # the vocoder is complete
        (folder / CHECKPOINT).unlink()


def _check_out(folder: Path, resume: bool) -> None:
    if (folder / TENSORS).is_file():
        raise RunError(
            f"{folder}: a trained vocoder is here; choose another --out. To train it further, give "
            f"vocoder.weights={folder / TENSORS}"
        )
    check_contents(folder, resume)


def _build(recipe: Recipe) -> Vocoder:
    if recipe.vocoder is None:
        raise RecipeError(
            recipe.name, ["vocoder: this recipe has none; add one, for example vocoder.use=vocos/small-16khz"]
        )
    start_tensors = vocoder_of_start(recipe)

    def build(part: CheckedPart) -> Vocoder:
        if start_tensors and "weights" in part.options:
            part = replace(part, options=part.options | {"weights": "random"})
        vocoder: Vocoder = part.make({})
        return vocoder

    vocoder = build_part(
        recipe,
        "vocoder",
        "vocoder",
        recipe.vocoder,
        build,
        passing=WeightsError,
        weights_needed=not start_tensors,
    )
    if start_tensors:
        load_strictly(vocoder, start_tensors, where=f"the vocoder of the start {recipe.start}")
    return vocoder


def _tracker(recipe: Recipe) -> PitchTracker | None:
    """Make the recipe's pitch tracker; None if it names none."""
    return build_part(recipe, "pitch", "pitch", recipe.pitch, make_tracker) if recipe.pitch else None


def _trainable(recipe: Recipe, vocoder: Vocoder) -> MelSpec:
    """The spec of the mels that the vocoder reads; raise RecipeError if the vocoder cannot be trained."""
    assert recipe.vocoder is not None
    use = recipe.vocoder.use
    if not any(parameter.requires_grad for parameter in vocoder.parameters()):
        raise RecipeError(
            recipe.name,
            [
                f"vocoder.use: {use} has no parameters to train; vocos/small-16khz has. `vczoo list --parts vocoder` "
                "lists all vocoders"
            ],
        )
    if not isinstance(vocoder.accepts, MelSpec):
        raise RecipeError(
            recipe.name, [f"vocoder.use: {use} reads a backbone's frames; only vocoders that read mels can be trained"]
        )
    return vocoder.accepts
