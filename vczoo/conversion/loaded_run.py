"""Loaded runs: a model with named voices that enrolls, compares and recognizes speakers, and is saved.

`converter` adds the conversion.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vczoo.audio.denoise import Denoiser
from vczoo.audio.limits import check_fits_memory
from vczoo.audio.recording import PathOrWaveform, Recording, as_recording, as_recordings
from vczoo.audio.waveform import Waveform
from vczoo.conversion.enrollment import enrollment_doubts, more_speech, speech_seconds
from vczoo.conversion.recognition import check_classifies, check_transcribes, classify, transcribe
from vczoo.data.listing import expand_recordings
from vczoo.errors import AudioError, RunError, VoiceError, VoiceWarning
from vczoo.io.deprecation import warn_at_caller
from vczoo.io.device import choose_device
from vczoo.io.names import composed, name_fault, name_key
from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.modules.interfaces.heads import Voice
from vczoo.runs.run import Run, is_run, own_voices
from vczoo.runs.run_folder import save_run

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
        self._enrolling = threading.Lock()

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

    def enroll(
        self,
        name: str,
        recordings: Recording | Iterable[Recording],
        *,
        sample_rate_hz: float | None = None,
        overwrite: bool = False,
        channel: str | None = None,
        denoise: bool = False,
    ) -> str:
        """Add a voice from recordings of it, without training. `save` writes it with the run.

        Args:
            name: Name of the voice: at most 200 printable characters, without slashes and backslashes.
            recordings: One or several recordings of the speaker, each as for `convert`. Long ones are encoded in parts.
                A folder is all recordings in it and its subfolders; a path that does not exist may have wildcards
                (`me/*.wav`).
            sample_rate_hz: Sample rate in Hz of recordings that are tensors or arrays.
            overwrite: Whether to replace a voice of this name.
            channel: Channel of the recordings to use: "left", "right" or "mix", as for `Waveform.read`.
            denoise: Whether to remove noise from the recordings first, which would become part of the voice. Needs the
                extra `denoise`.

        Returns:
            A sentence on what more speech would buy, for models whose speaker head reads mels, as that of `base`; the
            seconds of speech for all others.

        Raises:
            VoiceError: The name is taken and `overwrite` is false, the name is not valid, there is no recording, or the
                recipe has no speaker head and no voice head.
            AudioError: A recording cannot be read, is silent, shorter than 20 ms or has NaN or infinity, or is nothing
                that `convert` takes; all of them together take more than 1 GB; a folder holds none, or nothing matches
                a wildcard. The voice is not added then.
            PluginError: `denoise` is true, and the extra is not installed.

        Warns:
            VoiceWarning: The recordings are too short to describe a voice, hold no speech, are noisy, or sound like two
                speakers.
        """
        if not self.model.speaker_heads and not self.model.voice_heads:
            raise VoiceError("this recipe has neither a speaker head nor a voice head, so no voice can be enrolled")
        if fault := name_fault(name):
            raise VoiceError(f"{fault}; choose another name for the voice")
        name = composed(name)
        self._check_free(name, overwrite)  # now, because enrolling may take long
        clean = Denoiser() if denoise else None
        waves = self._read_all(as_recordings(recordings, sample_rate_hz, channel), channel)
        waves = [clean(wave) for wave in waves] if clean else waves
        voice = self._voice_of(name, waves)
        with self._enrolling:
            self._check_free(name, overwrite)  # another thread may have enrolled it meanwhile
            # A bundled voice of the same name gives way. The voices are replaced as a whole, because other threads may
            # be going through them.
            others = {
                other: v for other, v in self.run.voices.items() if name_key(other) != name_key(name) or not v.lent
            }
            self.run.voices = {**others, name: voice}
        seconds = speech_seconds(waves)
        return more_speech(seconds) if self.model.speakers_by_mels else f"{seconds:.0f} s of speech"

    def identify(self, recording: Recording, *, sample_rate_hz: float | None = None) -> dict[str, float]:
        """Compare a recording's speaker with each voice.

        Args:
            recording: A recording, as for `convert`.
            sample_rate_hz: Sample rate in Hz of a recording that is a tensor or an array.

        Returns:
            The cosine similarity of the speaker embeddings for each voice, the most similar first.

        Raises:
            VoiceError: The recipe has no speaker head, or there is no voice.
            AudioError: The recording cannot be read.
        """
        embedding = self.embed(recording, sample_rate_hz=sample_rate_hz)
        if not self.voices:
            raise VoiceError("there is no voice to compare with; add one from recordings with `enroll`")
        key = f"{next(iter(self.model.speaker_heads))}.embedding"
        scores = {name: float(embedding @ voice.tensors[key]) for name, voice in self.run.voices.items()}
        return dict(sorted(scores.items(), key=lambda item: -item[1]))

    def embed(self, recording: Recording, *, sample_rate_hz: float | None = None) -> Tensor:
        """Compute the speaker embedding of a recording.

        Args:
            recording: A recording, as for `convert`.
            sample_rate_hz: Sample rate in Hz of a recording that is a tensor or an array.

        Returns:
            A vector (E,) of length 1. For a long recording it is the mean over its parts.

        Raises:
            VoiceError: The recipe has no speaker head.
            AudioError: The recording cannot be read.
        """
        if not self.model.speaker_heads:
            raise VoiceError("this recipe has no speaker head; load a recipe that has one, see `vczoo list`")
        return self._embedding(self._read(as_recording(recording, sample_rate_hz)))[0].cpu()

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

    def _check_free(self, name: str, overwrite: bool) -> None:
        same_names = [voice for voice in own_voices(self.run) if name_key(voice) == name_key(name)]
        if same_names and not (overwrite and name in same_names):
            raise VoiceError(f"voice {same_names[0]!r} already exists; choose another name, or set overwrite")

    def _read_all(self, recordings: Sequence[PathOrWaveform], channel: str | None = None) -> list[Waveform]:
        """Read the recordings of a voice, and those in folders."""
        waves: list[Waveform] = []
        for recording in recordings:
            for path in [recording] if isinstance(recording, Waveform) else expand_recordings([recording], []):
                waves.append(self._read(path, channel))
                total = sum(wave.seconds for wave in waves)
                check_fits_memory(total, self.model.sample_rate_hz, "enroll fewer of them; a few minutes are enough")
        return waves

    def _voice_of(self, name: str, waves: Sequence[Waveform]) -> Voice:
        """Compute a voice, and warn of what speaks against its recordings."""
        voice = Voice(name, self.model.enroll(waves))
        # An embedding of content cannot tell speakers apart in three seconds, nor can that of a few voices.
        embed = self._embedding if self.model.speakers_by_mels else None
        for reason in enrollment_doubts(waves, embed):
            warn_at_caller(f"voice {name!r}: {reason}", VoiceWarning)
        return voice

    def _embedding(self, wave: Waveform) -> Tensor:
        return next(iter(self.model.embed(wave).values()))

    def _read_single(self, recording: PathOrWaveform) -> Waveform:
        if isinstance(recording, Waveform) and len(recording) != 1:
            raise AudioError(f"expected one recording, got a batch of {len(recording)}; use wave[i]")
        return self._read(recording)

    def _read(self, recording: PathOrWaveform, channel: str | None = None, *, speech: bool = True) -> Waveform:
        rate = self.model.sample_rate_hz
        if isinstance(recording, Waveform):
            recording.check(speech=speech)
            return recording.resample(rate).to(self.device)
        return Waveform.read(recording, rate, channel).to(self.device)
