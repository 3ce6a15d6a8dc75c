"""Tuned voices that were added to a loaded base: reading small tuned runs, and the model for each choice of voice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from vczoo.conversion.tuned_model import TunedVoice, tuned_model
from vczoo.errors import RunError, VoiceError, WeightsError
from vczoo.io.files import sha256_of
from vczoo.io.tensors import read_tensors
from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.modules.interfaces.heads import Voice
from vczoo.runs.base_run import find_base, same_parts
from vczoo.runs.config import File, RunConfig, read_config
from vczoo.runs.run import CONFIG, Run
from vczoo.runs.run_files import MODEL, VOICES, path_of
from vczoo.runs.run_folder import config_of
from vczoo.runs.voices_file import read_voices

__all__ = ["TunedVoices", "read_tuned_voices"]


class TunedVoices:
    """The tuned voices that were added to a run. Several threads may use them at once."""

    def __init__(self) -> None:
        self._voices: dict[str, TunedVoice] = {}
        self._last: tuple[list[tuple[int, float]], Model] | None = None  # the model of the last choice

    def add(self, voices: Sequence[TunedVoice]) -> None:
        """Keep voices.

        Raises:
            VoiceError: One of that name was added already. None is kept then.
        """
        for tuned in voices:
            if tuned.voice.name in self._voices:
                raise VoiceError(f"voice {tuned.voice.name!r} already exists; it was added from another run")
        self._voices |= {tuned.voice.name: tuned for tuned in voices}

    def run_for(self, run: Run, shares: Mapping[str, float]) -> Run:
        """Return the run with what tuning changed of a mix's voices, or as it is if none of them is tuned.

        Args:
            run: The run of the base.
            shares: The share of each voice of the run.

        Raises:
            VoiceError: Several voices are mixed, and one has modules of its own, such as adapters.
        """
        mix = [(self._tuned(name, run.voices[name]), share) for name, share in shares.items()]
        if not any(tuned for tuned, _ in mix):
            return run
        key, last = [(id(tuned), share) for tuned, share in mix], self._last
        if last is None or last[0] != key:
            self._last = last = key, tuned_model(run.model, mix)
        recipe = mix[0][0].recipe if len(mix) == 1 and mix[0][0] else run.recipe
        return replace(run, model=last[1], recipe=recipe, delta=None)

    def _tuned(self, name: str, voice: Voice) -> TunedVoice | None:
        tuned = self._voices.get(name)
        # A voice that was enrolled under the same name later is not tuned.
        return tuned if tuned and tuned.voice is voice else None


def read_tuned_voices(path: Path, model: Model, recipe: Recipe, *, foreign: bool = False) -> list[TunedVoice]:
    """Read the voices of a small tuned run for a model of its base, and check that it is the same base.

    Args:
        path: The folder of the run.
        model: The model of the base.
        recipe: The recipe of the base.
        foreign: Whether somebody else made the run.

    Raises:
        VoiceError: The run holds a whole model or has no voice, or the model is not that of its base.
        RunError, PluginError, RecipeError: The run or its base cannot be read.
    """
    config = config_of(path, foreign=foreign)
    if config.base_run is None:
        raise VoiceError(f"{path}: this run holds a whole model, so its voices belong to no other; load it by itself")
    if not config.voices:
        raise VoiceError(f"{path}: this run has no voice; train it with a voice head")
    base = find_base(config.base_run, path, foreign=foreign)
    if not same_parts(config.parsed_recipe, recipe):
        raise VoiceError(f"{path}: this run was tuned from {config.base_run}, which has other parts; load that first")
    try:
        _check_is_base(model, base, path, config)
        file = _checked(path, config, MODEL)
        tensors = {
            name: value.float() if value.dtype == torch.float16 else value
            for name, value in read_tensors(file).items()
            if not _of_speaker_head(name, model)
        }
        voices = read_voices(_checked(path, config, VOICES), config.voices, model)
        tuned = [TunedVoice(replace(voice, lent=True), config.parsed_recipe, tensors) for voice in voices.values()]
        tuned_model(model, [(tuned[0], 1.0)])  # so that tensors that do not fit are reported now
    except WeightsError as error:
        raise RunError(f"{path}: this run cannot be loaded: {error}") from error
    return tuned


def _of_speaker_head(name: str, model: Model) -> bool:
    return any(name.startswith(f"heads.{head}.") for head in model.speaker_heads)


def _check_is_base(model: Model, base: Path, path: Path, config: RunConfig) -> None:
    """Check that a model has the tensors of a base run, except those of speaker heads, which new speakers replace."""
    files = read_config(base / CONFIG).files
    actual = model.tensors()
    for name, tensor in read_tensors(path_of(base, MODEL, files)).items():
        if _of_speaker_head(name, model):
            continue
        own = actual.get(name)
        if own is None or own.shape != tensor.shape or not torch.equal(own.cpu(), tensor.to(own.dtype)):
            raise VoiceError(f"{path}: this run was tuned from {config.base_run}; load that first, then add the voice")


def _checked(path: Path, config: RunConfig, name: File) -> Path:
    """The path of a file of a run that matches its checksum."""
    file = path_of(path, name, config.files)
    if sha256_of(file) != config.files.get(name):
        raise WeightsError(f"{name} does not match its checksum in {CONFIG}; copy or pull the run again")
    return file
