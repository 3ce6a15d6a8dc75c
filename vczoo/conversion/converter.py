"""`Converter`: a loaded run that converts recordings and streams to its voices, and publishes them.

`voiced_run` enrolls voices and compares speakers; `loaded_run` recognizes speech and saves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vczoo.audio.limits import check_fits_memory
from vczoo.audio.provenance_mark import Mark
from vczoo.audio.recording import PathOrWaveform, Recording, as_recording
from vczoo.audio.waveform import Waveform
from vczoo.audio.writer import Depth, SoundWriter
from vczoo.conversion.converted_blocks import blocks_of, converted_blocks
from vczoo.conversion.run_by_name import read_any_run
from vczoo.conversion.stream import Stream
from vczoo.conversion.voice_mix import VoiceChoice
from vczoo.conversion.voiced_run import VoicedRun
from vczoo.conversion.watermark import embed_watermark, load_watermark
from vczoo.errors import AudioError
from vczoo.io.device import choose_device
from vczoo.io.files import is_same_file
from vczoo.io.temporary import temporary_folder
from vczoo.modules.interfaces.vocoder import Watermark
from vczoo.runs.run import Run, own_voices

if TYPE_CHECKING:
    from vczoo.hub.commit import Published

__all__ = ["Converter"]

SAMPLED_VOICES = 4  # a model card has samples of at most this many voices
USE_FILE = "convert it to a file (`vczoo convert`, or `convert_file`), which takes little memory"


class Converter(VoicedRun):
    """A model with named voices. Several threads may use one converter at once.

    Args:
        run: The loaded or fine-tuned run: model, recipe and voices.
        device: Torch device to compute on. By default a GPU, if there is one.
    """

    def __init__(self, run: Run, device: torch.device | str | None = None) -> None:
        super().__init__(run, device)
        self._watermarks: dict[str, Watermark] = {}

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        overrides: Iterable[str] | Mapping[str, Any] = (),
        *,
        device: torch.device | str | None = None,
    ) -> Converter:
        """Load a recipe, a run or a published run: `vczoo.load` by the name that Hugging Face's libraries use.

        Args:
            name: As for `load`.
            overrides: As for `load`.
            device: As for `load`.

        Raises:
            UnknownNameError, RecipeError, RunError, WeightsError, VczooError: As for `load`.
        """
        device = choose_device(device)  # first, so that a wrong device is reported before weights are loaded
        return cls(read_any_run(name, overrides), device)

    def convert(
        self,
        source: Recording,
        voice: VoiceChoice = None,
        *,
        sample_rate_hz: float | None = None,
        semitones: float | None = None,
        mark: bool = True,
        watermark: str = "",
        channel: str | None = None,
    ) -> Waveform:
        """Convert a recording to a voice. Recordings longer than half a minute are converted in chunks.

        Args:
            source: A sound file, or a waveform with one recording, at any sample rate; or samples as other libraries
                have them, (S,) or of two channels: a tensor or an array with `sample_rate_hz`, a pair (sample rate,
                array), or the audio of a row of Hugging Face Datasets.
            voice: One of `voices`; the path of a recording of the target speaker, or of a folder of them, which is
                enrolled for this conversion only; or a mix by shares: "alice:0.7,bob:0.3", "alice:0.7,me.wav:0.3" or
                `{"alice": 0.7, "bob": 0.3}`. None is the only voice.
            sample_rate_hz: Sample rate in Hz of a source that is a tensor or an array.
            semitones: Pitch shift in semitones, -24 to 24. None moves the mean pitch of the source to the voice's mean
                pitch.
            mark: Whether the result carries a provenance mark: that it is synthetic, and which recipe and voice made
                it. `save` writes the mark into the file.
            watermark: Name of a registered watermark to embed inaudibly. By default, none.
            channel: Channel of the source to use: "left", "right" or "mix", as for `Waveform.read`.

        Returns:
            A waveform (1, S) at the model's sample rate, as long as the source.

        Raises:
            VoiceError: There is no such voice, there are several and none is chosen, the shares do not add up to 1, or
                the recipe has no voice head.
            AudioError: The source or a recording of the voice cannot be read; the source is of another kind, a batch of
                several recordings, or samples without a sample rate or of an ambiguous shape; or it has NaN or
                infinity, is silent or shorter than 20 ms, or is so long that the result would take more than 1 GB.
            ContractError: `semitones` is out of range.
            VczooError: There is no such watermark.
        """
        source = as_recording(source, sample_rate_hz, channel)
        converter, shares = self.with_references(voice)
        rate = self.model.sample_rate_hz
        recording = blocks_of(source, rate, channel)
        check_fits_memory(recording.seconds, rate, USE_FILE)
        if not recording.seconds:  # its header states no length, and finding the pitch of hours takes long
            count = 0
            for block in recording:
                count += len(block)
                check_fits_memory(count / rate, rate, USE_FILE)
        blocks: list[Tensor] = []
        for block in converter._converted(source, shares, semitones, watermark, channel):
            blocks.append(block)
            check_fits_memory(sum(map(len, blocks)) / rate, rate, USE_FILE)
        wave = Waveform.of(torch.cat(blocks), rate)
        return replace(wave, mark=self._mark(shares) if mark else None)

    def convert_file(
        self,
        source: Recording,
        out: str | os.PathLike[str],
        voice: VoiceChoice = None,
        *,
        sample_rate_hz: float | None = None,
        semitones: float | None = None,
        overwrite: bool = False,
        mark: bool = True,
        watermark: str = "",
        channel: str | None = None,
        depth: Depth = "16",
        watch: Callable[[float], None] | None = None,
    ) -> float:
        """Convert a recording straight into a file. Memory use does not grow with the length of the recording.

        Args:
            source: As for `convert`.
            out: The file to write. It is written completely or not at all.
            voice: As for `convert`.
            sample_rate_hz: As for `convert`.
            semitones: As for `convert`.
            overwrite: Whether to replace an existing file.
            mark: Whether the file's metadata say that it is synthetic, and which recipe and voice made it.
            watermark: As for `convert`.
            channel: As for `convert`.
            depth: Bits of a sample: "16", "24" (WAV and FLAC) or "float" (32 bits; WAV).
            watch: Progress callback, called from time to time with the number of seconds written so far.

        Returns:
            The number of seconds written.

        Raises:
            VoiceError, AudioError, ContractError, VczooError: As for `convert`. Also AudioError if `out` exists or
                is the source, has an unknown format or has a file where its folder should be, or if the disk refuses.
        """
        source = as_recording(source, sample_rate_hz, channel)
        if not isinstance(source, Waveform) and is_same_file(Path(out), Path(source)):
            raise AudioError(f"{out} is the source itself, which the conversion would replace; choose another file")
        rate = self.model.sample_rate_hz
        converter, shares = self.with_references(voice)
        provenance = self._mark(shares) if mark else None
        # The writer comes first, so that a bad output path is reported before the conversion starts.
        writer = SoundWriter(out, rate, overwrite=overwrite, mark=provenance, depth=depth)
        blocks = converter._converted(source, shares, semitones, watermark, channel)
        first = next(blocks)  # the whole recording has been read once and has no fault
        with writer as file:
            for block in chain([first], blocks):
                file.write(block.numpy())
                if watch:
                    watch(file.written / rate)
        return file.written / rate

    def stream(
        self,
        blocks: Iterable[Tensor | np.ndarray[Any, Any]],
        voice: VoiceChoice = None,
        *,
        semitones: float | None = None,
        sample_rate_hz: int | None = None,
        block_seconds: float = 0.5,
        history_seconds: float = 4.0,
        lookahead_seconds: float = 0.25,
    ) -> Stream:
        """Convert speech block by block, while somebody is still speaking.

        Args:
            blocks: Blocks of samples (S,) in [-1, 1], each of any length.
            voice: As for `convert`.
            semitones: Pitch shift in semitones. None moves the mean pitch of the input so far to
                that of the voice.
            sample_rate_hz: Sample rate of the input blocks. None means the model's.
            block_seconds: Length of an output block, rounded to the grid on which content frames and vocoder frames
                begin together.
            history_seconds: Past input that is encoded again with each block. More comes closer to `convert`, but is
                slower.
            lookahead_seconds: Future input that must arrive before a block is converted.

        Returns:
            An iterator over output blocks (S',) at the model's sample rate, together as long as the input, with the
            attribute `latency_seconds`. The blocks are plain tensors and carry no mark: if you write or send them, say
            that they are synthetic.

        Raises:
            VoiceError: As for `convert`.
            ContractError: A length or `semitones` is out of range.
            AudioError: `sample_rate_hz` cannot be resampled to the model's rate; or, during iteration, an input block
                is not a one-dimensional row of finite floats.
        """
        converter, shares = self.with_references(voice)
        return Stream(
            self.model,
            blocks,
            converter._voices(shares),
            semitones=semitones,
            sample_rate_hz=self.model.sample_rate_hz if sample_rate_hz is None else sample_rate_hz,
            block_seconds=block_seconds,
            history_seconds=history_seconds,
            lookahead_seconds=lookahead_seconds,
            device=self.device,
        )

    def push_to_hub(
        self,
        name: str,
        *,
        license: str,  # noqa: A002 - as the Hub calls it
        consent: str,
        private: bool = False,
        tag: str = "",
        whole: bool = False,
        languages: Sequence[str] = (),
        data_license: str = "",
        samples: Sequence[Recording] = (),
        share_frames: bool = False,
        message: str = "",
        dry_run: bool = False,
    ) -> Published:
        """Publish the model and its voices on the Hugging Face Hub, in one commit, with a generated model card.

        No recording leaves the machine.

        Args:
            name: Hub repository, owner/name.
            license: License identifier of the Hub, such as cc-by-4.0. It must be compatible with the licenses of the
                base weights and of the data.
            consent: The right by which the voices are shared: own-voice, written-consent, public-dataset:<name> or
                synthetic.
            private: Whether only the owner can see the repository.
            tag: Name for this version, such as v1.
            whole: Whether to publish the tensors of the pretrained base, too, so that loading does not need the base.
            languages: Codes of the languages that the voices speak.
            data_license: License of the recordings, if known.
            samples: Recordings to convert to the first voices for the model card. These conversions are published.
            share_frames: Whether to allow voices that hold their recordings frame by frame, as those of kNN do.
            message: Commit message.
            dry_run: Whether to prepare and check everything, but send nothing.

        Raises:
            LicenceError: The license or the statement of consent is not valid, or is not compatible with the base
                weights or the data.
            HubError: The run depends on something that only this machine has, or cannot be published.
            AudioError, VoiceError: A sample cannot be converted.
        """
        from vczoo.hub.push import push  # imported here, since it imports the Hub's client

        with temporary_folder("samples") as folder:
            conversions: list[tuple[str, Path]] = []
            for voice in list(own_voices(self.run))[:SAMPLED_VOICES] if samples else ():
                for sample in samples:
                    file = folder / f"{len(conversions) + 1}.wav"
                    self.convert_file(sample, file, voice)
                    conversions.append((voice, file))
            return push(
                self.run,
                name,
                licence=license,
                consent=consent,
                private=private,
                tag=tag,
                whole=whole,
                languages=languages,
                data_licence=data_license,
                samples=conversions,
                share_frames=share_frames,
                message=message,
                dry_run=dry_run,
            )

    def _voices(self, shares: Mapping[str, float]) -> list[tuple[Mapping[str, Tensor], float]]:
        return [(self.run.voices[name].tensors, share) for name, share in shares.items()]

    def _converted(
        self,
        source: PathOrWaveform,
        shares: Mapping[str, float],
        semitones: float | None,
        watermark: str,
        channel: str | None,
    ) -> Iterator[Tensor]:
        """The conversion as blocks (S,) on the CPU, watermarked if there is a watermark."""
        embedder, rate = self._watermark(watermark) if watermark else None, self.model.sample_rate_hz
        blocks = converted_blocks(self.model, source, self._voices(shares), semitones, channel, self.device)
        if embedder is None:
            return blocks
        return (embed_watermark(embedder, Waveform.of(block, rate)).samples[0] for block in blocks)

    def _watermark(self, name: str) -> Watermark:
        if name not in self._watermarks:
            self._watermarks[name] = load_watermark(name)
        return self._watermarks[name]

    def _mark(self, shares: Mapping[str, float]) -> Mark:
        rounded = {name: float(f"{share:.4g}") for name, share in shares.items()}
        return Mark(self.recipe.name, rounded, self.run.revision)
