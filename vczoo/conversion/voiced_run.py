"""Voices of a loaded run: enrollment from recordings, addition of tuned voices, and comparison of speakers."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from vczoo.audio.denoise import Denoiser
from vczoo.audio.limits import check_fits_memory
from vczoo.audio.recording import PathOrWaveform, Recording, as_recording, as_recordings
from vczoo.audio.waveform import Waveform
from vczoo.conversion.enrollment import enrollment_doubts, more_speech, speech_length, speech_seconds
from vczoo.conversion.loaded_run import LoadedRun
from vczoo.conversion.name import read_name
from vczoo.conversion.tuned_voices import TunedVoices, read_tuned_voices
from vczoo.conversion.voice_mix import VoiceChoice, read_references
from vczoo.data.listing import expand_recordings
from vczoo.errors import VoiceError, VoiceWarning
from vczoo.io.deprecation import warn_at_caller
from vczoo.io.names import composed, name_fault, name_key
from vczoo.modules.interfaces.heads import Voice
from vczoo.runs.run import Run, own_voices

__all__ = ["VoicedRun"]


class VoicedRun(LoadedRun):
    """A loaded run whose voices can be added to. Several threads may use it at once."""

    def __init__(self, run: Run, device: torch.device | str | None = None) -> None:
        super().__init__(run, device)
        self._tuned = TunedVoices()
        self._enrolling = threading.Lock()

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
        return more_speech(seconds) if self.model.speakers_by_mels else speech_length(seconds)

    def add_voice(self, run: str | os.PathLike[str]) -> tuple[str, ...]:
        """Add the voices of a small tuned run, which this converter is the base of.

        Only what tuning changed is kept, so many such voices share the memory of one base. `convert` and `stream`
        then accept them as all others. A mix of them also mixes what tuning changed. They are not saved with this
        converter.

        Args:
            run: The folder of the run (`./runs/alice`), or its name on the Hub, `owner/name`.

        Returns:
            The names of the voices.

        Raises:
            VoiceError: The run holds a whole model or has no voice, this converter is not its base, or a voice of that
                name exists.
            RunError, HubError, PluginError, RecipeError: The run cannot be read, or its base is not here.
            UnknownNameError: There is no such run.
        """
        kind, place = read_name(run)
        if kind == "recipe":
            raise VoiceError(f"{place} is a recipe; name a run's folder, as ./runs/alice, or a run on the Hub")
        folder = Path(place)
        if kind == "hub":
            from vczoo.hub.pull import pull  # imported here, since it imports the Hub's client

            folder = pull(place).folder
        added = read_tuned_voices(folder, self.model, self.recipe, foreign=kind == "hub")
        with self._enrolling:
            for tuned in added:
                self._check_free(tuned.voice.name, overwrite=False)
            self._tuned.add(added)
            self.run.voices = {**self.run.voices, **{tuned.voice.name: tuned.voice for tuned in added}}
        return tuple(tuned.voice.name for tuned in added)

    def with_references(self, voice: VoiceChoice) -> tuple[Self, dict[str, float]]:
        """Enroll the recordings that a choice of voice names, in a copy of this run that shares its model.

        Args:
            voice: As for `Converter.convert`.

        Returns:
            This run if the choice names neither a recording nor a tuned voice, otherwise the copy; and the share of
            each of its voices.

        Raises:
            VoiceError, AudioError: As for `Converter.convert`.
        """
        self.model.check_converts()
        shares, references = read_references(voice, self.voices)
        enrolled = {name: self._voice_of(name, self._read_all([path])) for name, path in references.items()}
        run = replace(self.run, voices={**self.run.voices, **enrolled}) if enrolled else self.run
        run = self._tuned.run_for(run, shares)
        if run is self.run:
            return self, shares
        copied = copy.copy(self)
        copied.run = run
        return copied, shares

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
