"""Loaded runs: a model with named voices on a device, which recognizes speech and labels, and is saved.

`voiced_run` adds enrollment and the comparison of speakers, `converter` the conversion.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vczoo.audio.recording import PathOrWaveform, Recording, as_recording, read_recording
from vczoo.audio.waveform import Waveform
from vczoo.conversion.recognition import check_classifies, check_transcribes, classify, transcribe
from vczoo.errors import AudioError, RunError
from vczoo.io.device import choose_device
from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.runs.run import Run, is_run
from vczoo.runs.run_writer import save_run

__all__ = ["LoadedRun"]


class LoadedRun:
    """A run on a device: its model and its named voices. Several threads may use it at once.

    Args:
        run: The loaded or fine-tuned run: model, recipe and voices.
        device: Torch device to compute on. By default a GPU, if there is one.
    """

    def __init__(self, run: Run, device: torch.device | str | None = None) -> None:
        self.run = run
        self.device = choose_device(device)
        run.model.to(self.device).eval()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.recipe.name}: {len(self.voices)} voices>"

    @property
    def model(self) -> Model:
        """The network: backbone, heads and vocoder."""
        return self.run.model

    @property
    def recipe(self) -> Recipe:
        """The recipe that the model was built from."""
        return self.run.recipe

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the voices that `convert` accepts."""
        return tuple(self.run.voices)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers in the training data."""
        return self.run.speakers

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that `classify` scores; empty without a trained label head."""
        return self.run.labels

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Metrics of the fine-tuning; empty if the model has not been fine-tuned."""
        return self.run.metrics

    def transcribe(self, recording: Recording, *, sample_rate_hz: float | None = None) -> str:
        """Transcribe a recording of any length with the recipe's first text head.

        Args:
            recording: A recording, as for `convert`.
            sample_rate_hz: Sample rate in Hz of a recording that is a tensor or an array.

        Raises:
            VczooError: The recipe has no text head, or its text head has not been trained.
            AudioError: The recording cannot be read, or is a batch of several recordings.
        """
        self.check_transcribes()
        return transcribe(self.model, self._read_single(as_recording(recording, sample_rate_hz)))

    def classify(self, recording: Recording, *, sample_rate_hz: float | None = None) -> dict[str, float]:
        """Compute the probability of each label with the recipe's first label head, the most likely first.

        Args:
            recording: A recording, as for `convert`.
            sample_rate_hz: Sample rate in Hz of a recording that is a tensor or an array.

        Raises:
            VczooError: The recipe has no label head, or its label head has not been trained.
            AudioError: The recording cannot be read, or is a batch of several recordings.
        """
        self.check_classifies()
        return classify(self.model, self._read_single(as_recording(recording, sample_rate_hz)))

    def check_transcribes(self) -> None:
        """Raise VczooError if there is no trained text head.

        Raises:
            VczooError: The recipe has no text head, or its text head has not been trained.
        """
        check_transcribes(self.model, bool(self.run.metrics))

    def check_classifies(self) -> None:
        """Raise VczooError if there is no trained label head.

        Raises:
            VczooError: The recipe has no label head, or its label head has not been trained.
        """
        check_classifies(self.model, self.labels)

    def save(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, whole: bool = False, half: bool = False
    ) -> Path:
        """Save the converter as a run folder, which `load` reads.

        Args:
            path: The folder to write.
            overwrite: Whether to replace an existing run.
            whole: Whether to save the tensors of the pretrained base, too, so that loading does not need the base.
            half: Whether to write float32 as float16: half the bytes, each value rounded to 11 significant bits.
                `load` turns it into float32 again, and the model in memory stays as it is. `push_to_hub` always
                writes float32.

        Returns:
            The path of the run folder.

        Raises:
            RunError: The path exists and either `overwrite` is false or it is not a run; the run there was changed
                after it was loaded from there; the model or a voice holds NaN or infinity; the disk refuses; or `half`
                is set and a value is beyond 65504, the largest of float16.
        """
        path = Path(path)
        if path.exists() and not (overwrite and is_run(path)):
            raise RunError(f"{path} exists; choose another folder, or set overwrite if it is a run to replace")
        return save_run(self.run, path, overwrite=overwrite, whole=whole, half=half)

    save_pretrained = save

    def _read_single(self, recording: PathOrWaveform) -> Waveform:
        if isinstance(recording, Waveform) and len(recording) != 1:
            raise AudioError(f"expected one recording, got a batch of {len(recording)}; use wave[i]")
        return self._read(recording)

    def _read(self, recording: PathOrWaveform, channel: str | None = None) -> Waveform:
        return read_recording(recording, self.model.sample_rate_hz, channel).to(self.device)
