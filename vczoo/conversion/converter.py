"""`Converter`: a loaded model with named voices that converts, streams, enrolls, transcribes and publishes."""

from __future__ import annotations

import os
import threading
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
from vczoo.audio.reader import SoundReader
from vczoo.audio.waveform import Waveform
from vczoo.audio.writer import SoundWriter
from vczoo.conversion.chunked import Blocks, convert_in_chunks
from vczoo.conversion.enrollment import enrollment_doubts
from vczoo.conversion.recognition import check_classifies, check_transcribes, classify, transcribe
from vczoo.conversion.stream import Stream
from vczoo.conversion.voice_mix import VoiceChoice, read_references
from vczoo.conversion.watermark import embed_watermark, load_watermark
from vczoo.data.listing import expand_recordings
from vczoo.errors import AudioError, RunError, VoiceError, VoiceWarning
from vczoo.io.deprecation import warn_at_caller
from vczoo.io.device import choose_device
from vczoo.io.files import is_same_file, temporary_folder
from vczoo.io.names import composed, name_fault, name_key
from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.modules.interfaces.heads import Voice
from vczoo.modules.interfaces.vocoder import Watermark
from vczoo.runs.run import Run, is_run, own_voices
from vczoo.runs.run_folder import save_run

if TYPE_CHECKING:
    from vczoo.hub.commit import Published

__all__ = ["Converter"]

Recording = str | os.PathLike[str] | Waveform

SAMPLED_VOICES = 4  # a model card has samples of at most this many voices
USE_FILE = "convert it to a file (`vczoo convert`, or `convert_file`), which takes little memory"
WHOLE_SECONDS = 30.0  # longer recordings are converted in chunks


class Converter:
    """A model with named voices. Several threads may use one converter at once.

    Args:
        run: The loaded or fine-tuned run: model, recipe and voices.
        device: Torch device to compute on. By default a GPU, if there is one.
    """

    def __init__(self, run: Run, device: torch.device | str | None = None) -> None:
        self.run = run
        self.device = choose_device(device)
        run.model.to(self.device).eval()
        self._watermarks: dict[str, Watermark] = {}
        self._enrolling = threading.Lock()

    def __repr__(self) -> str:
        return f"<Converter {self.recipe.name}: {len(self.voices)} voices>"

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

    def convert(
        self,
        source: Recording,
        voice: VoiceChoice = None,
        *,
        semitones: float | None = None,
        mark: bool = True,
        watermark: str = "",
        channel: str | None = None,
    ) -> Waveform:
        """Convert a recording to a voice. Recordings longer than half a minute are converted in chunks.

        Args:
            source: A sound file, or a waveform with one recording, at any sample rate.
            voice: One of `voices`; the path of a recording of the target speaker, or of a folder of them, which is
                enrolled for this conversion only; or a mix by shares: "alice:0.7,bob:0.3", "alice:0.7,me.wav:0.3" or
                `{"alice": 0.7, "bob": 0.3}`. None is the only voice.
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
            AudioError: The source or a recording of the voice cannot be read, or the source is a batch of several
                recordings, has NaN or infinity, is silent or shorter than 20 ms, or is so long that the result would
                take more than 1 GB.
            ContractError: `semitones` is out of range.
            VczooError: There is no such watermark.
        """
        converter, shares = self.with_references(voice)
        rate = self.model.sample_rate_hz
        recording = converter._blocks(source, channel)
        check_fits_memory(recording.seconds, rate, USE_FILE)
        if not recording.seconds:  # its header states no length, and finding the pitch of hours takes long
            count = 0
            for block in recording:
                count += len(block)
                check_fits_memory(count / rate, rate, USE_FILE)
        blocks: list[Tensor] = []
        for block in converter._converted_blocks(source, shares, semitones, watermark, channel):
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
        semitones: float | None = None,
        overwrite: bool = False,
        mark: bool = True,
        watermark: str = "",
        channel: str | None = None,
        watch: Callable[[float], None] | None = None,
    ) -> float:
        """Convert a recording straight into a file. Memory use does not grow with the length of the recording.

        Args:
            source: A sound file, or a waveform with one recording, at any sample rate.
            out: The file to write. It is written completely or not at all.
            voice: As for `convert`.
            semitones: As for `convert`.
            overwrite: Whether to replace an existing file.
            mark: Whether the file's metadata say that it is synthetic, and which recipe and voice made it.
            watermark: As for `convert`.
            channel: As for `convert`.
            watch: Progress callback, called from time to time with the number of seconds written so far.

        Returns:
            The number of seconds written.

        Raises:
            VoiceError, AudioError, ContractError, VczooError: As for `convert`. Also AudioError if `out` exists or
                is the source, has an unknown format or has a file where its folder should be, or if the disk refuses.
        """
        if not isinstance(source, Waveform) and is_same_file(Path(out), Path(source)):
            raise AudioError(f"{out} is the source itself, which the conversion would replace; choose another file")
        rate = self.model.sample_rate_hz
        converter, shares = self.with_references(voice)
        provenance = self._mark(shares) if mark else None
        # The writer comes first, so that a bad output path is reported before the conversion starts.
        writer = SoundWriter(out, rate, overwrite=overwrite, mark=provenance)
        blocks = converter._converted_blocks(source, shares, semitones, watermark, channel)
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

    def enroll(
        self,
        name: str,
        recordings: Recording | Sequence[Recording],
        *,
        overwrite: bool = False,
        channel: str | None = None,
    ) -> None:
        """Add a voice from recordings of it, without training. `save` writes it with the run.

        Args:
            name: Name of the voice: at most 200 printable characters, without slashes and backslashes.
            recordings: One or several sound files or waveforms of the speaker. Long ones are encoded in parts. A folder
                is all recordings in it and its subfolders; a path that does not exist may have wildcards (`me/*.wav`).
            overwrite: Whether to replace a voice of this name.
            channel: Channel of the recordings to use: "left", "right" or "mix", as for `Waveform.read`.

        Raises:
            VoiceError: The name is taken and `overwrite` is false, the name is not valid, there is no recording, or the
                recipe has no speaker head and no voice head.
            AudioError: A recording cannot be read, is silent, shorter than 20 ms or has NaN or infinity; all of them
                together take more than 1 GB; a folder holds none, or nothing matches a wildcard. The voice is not added
                then.

        Warns:
            VoiceWarning: The recordings are too short to describe a voice, hold no speech, or sound like two speakers.
        """
        if not self.model.speaker_heads and not self.model.voice_heads:
            raise VoiceError("this recipe has neither a speaker head nor a voice head, so no voice can be enrolled")
        if fault := name_fault(name):
            raise VoiceError(f"{fault}; choose another name for the voice")
        name = composed(name)
        self._check_free(name, overwrite)  # now, because enrolling may take long
        if isinstance(recordings, str | os.PathLike | Waveform):
            recordings = [recordings]
        voice = self._enrolled(name, recordings, channel)
        with self._enrolling:
            self._check_free(name, overwrite)  # another thread may have enrolled it meanwhile
            # A bundled voice of the same name gives way. The voices are replaced as a whole, because other threads may
            # be going through them.
            others = {
                other: v for other, v in self.run.voices.items() if name_key(other) != name_key(name) or not v.lent
            }
            self.run.voices = {**others, name: voice}

    def _check_free(self, name: str, overwrite: bool) -> None:
        same_names = [voice for voice in own_voices(self.run) if name_key(voice) == name_key(name)]
        if same_names and not (overwrite and name in same_names):
            raise VoiceError(f"voice {same_names[0]!r} already exists; choose another name, or set overwrite")

    def identify(self, recording: Recording) -> dict[str, float]:
        """Compare a recording's speaker with each voice.

        Args:
            recording: A sound file or waveform.

        Returns:
            The cosine similarity of the speaker embeddings for each voice, the most similar first.

        Raises:
            VoiceError: The recipe has no speaker head, or there is no voice.
            AudioError: The recording cannot be read.
        """
        embedding = self.embed(recording)
        if not self.voices:
            raise VoiceError("there is no voice to compare with; add one from recordings with `enroll`")
        key = f"{next(iter(self.model.speaker_heads))}.embedding"
        scores = {name: float(embedding @ voice.tensors[key]) for name, voice in self.run.voices.items()}
        return dict(sorted(scores.items(), key=lambda item: -item[1]))

    def embed(self, recording: Recording) -> Tensor:
        """Compute the speaker embedding of a recording.

        Args:
            recording: A sound file or waveform.

        Returns:
            A vector (E,) of length 1. For a long recording it is the mean over its parts.

        Raises:
            VoiceError: The recipe has no speaker head.
            AudioError: The recording cannot be read.
        """
        if not self.model.speaker_heads:
            raise VoiceError("this recipe has no speaker head; load a recipe that has one, see `vczoo list`")
        return self._embedding(self._read(recording))[0].cpu()

    def transcribe(self, recording: Recording) -> str:
        """Transcribe a recording of any length with the recipe's first text head.

        Args:
            recording: A sound file, or a waveform with one recording.

        Raises:
            VczooError: The recipe has no text head, or its text head has not been trained.
            AudioError: The recording cannot be read, or is a batch of several recordings.
        """
        self.check_transcribes()
        return transcribe(self.model, self._read_single(recording))

    def classify(self, recording: Recording) -> dict[str, float]:
        """Compute the probability of each label with the recipe's first label head, the most likely first.

        Args:
            recording: A sound file, or a waveform with one recording.

        Raises:
            VczooError: The recipe has no label head, or its label head has not been trained.
            AudioError: The recording cannot be read, or is a batch of several recordings.
        """
        self.check_classifies()
        return classify(self.model, self._read_single(recording))

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

    def with_references(self, voice: VoiceChoice) -> tuple[Converter, dict[str, float]]:
        """Enroll the recordings that a choice of voice names, in a copy of this converter that shares its model.

        Args:
            voice: As for `convert`.

        Returns:
            This converter if the choice names no recording, otherwise the copy; and the share of each of its voices.

        Raises:
            VoiceError, AudioError: As for `convert`.
        """
        self.model.check_converts()
        shares, references = read_references(voice, self.voices)
        if not references:
            return self, shares
        converter = Converter(replace(self.run, voices=dict(self.run.voices)), self.device)
        converter._watermarks = self._watermarks
        for name, path in references.items():
            converter.run.voices[name] = converter._enrolled(name, [path])
        return converter, shares

    def _voices(self, shares: Mapping[str, float]) -> list[tuple[Mapping[str, Tensor], float]]:
        return [(self.run.voices[name].tensors, share) for name, share in shares.items()]

    def _converted_blocks(
        self,
        source: Recording,
        shares: Mapping[str, float],
        semitones: float | None,
        watermark: str,
        channel: str | None = None,
    ) -> Iterator[Tensor]:
        """The conversion as blocks (S,) on the CPU; a short recording is a single block."""
        model, voices, blocks = self.model, self._voices(shares), self._blocks(source, channel)
        embedder = self._watermark(watermark) if watermark else None
        if 0 < blocks.seconds <= WHOLE_SECONDS:  # some files state no length
            wave = self._read(source, channel, speech=False)
            if wave.seconds <= 2 * WHOLE_SECONDS:
                converted = iter([model.convert(wave, voices, semitones=semitones).to("cpu").samples[0]])
            else:  # its header states a wrong length
                blocks = Blocks(wave, model.sample_rate_hz)
                converted = convert_in_chunks(model, blocks, voices, semitones=semitones, device=self.device)
        else:
            converted = convert_in_chunks(model, blocks, voices, semitones=semitones, device=self.device)
        if embedder is None:
            return converted
        return (embed_watermark(embedder, Waveform.of(block, model.sample_rate_hz)).samples[0] for block in converted)

    def _watermark(self, name: str) -> Watermark:
        if name not in self._watermarks:
            self._watermarks[name] = load_watermark(name)
        return self._watermarks[name]

    def _enrolled(self, name: str, recordings: Sequence[Recording], channel: str | None = None) -> Voice:
        waves: list[Waveform] = []
        for recording in recordings:
            for path in [recording] if isinstance(recording, Waveform) else expand_recordings([recording], []):
                waves.append(self._read(path, channel))
                total = sum(wave.seconds for wave in waves)
                check_fits_memory(total, self.model.sample_rate_hz, "enroll fewer of them; a few minutes are enough")
        voice = Voice(name, self.model.enroll(waves))
        # An embedding of content cannot tell speakers apart in three seconds, nor can that of a few voices.
        embed = self._embedding if self.model.speakers_by_mels else None
        for reason in enrollment_doubts(waves, embed):
            warn_at_caller(f"voice {name!r}: {reason}", VoiceWarning)
        return voice

    def _embedding(self, wave: Waveform) -> Tensor:
        return next(iter(self.model.embed(wave).values()))

    def _mark(self, shares: Mapping[str, float]) -> Mark:
        rounded = {name: float(f"{share:.4g}") for name, share in shares.items()}
        return Mark(self.recipe.name, rounded, self.run.revision)

    def _blocks(self, recording: Recording, channel: str | None = None) -> Blocks:
        source = recording if isinstance(recording, Waveform) else SoundReader(recording, channel)
        if isinstance(source, Waveform) and len(source) != 1:
            raise AudioError(f"expected one recording to convert, got a batch of {len(source)}; use wave[i]")
        if isinstance(source, Waveform):
            # Unlike a file, a part of a signal may be silent or shorter than a frame.
            source.check(speech=not source.samples.numel())
        return Blocks(source, self.model.sample_rate_hz)

    def _read_single(self, recording: Recording) -> Waveform:
        if isinstance(recording, Waveform) and len(recording) != 1:
            raise AudioError(f"expected one recording, got a batch of {len(recording)}; use wave[i]")
        return self._read(recording)

    def _read(self, recording: Recording, channel: str | None = None, *, speech: bool = True) -> Waveform:
        rate = self.model.sample_rate_hz
        if isinstance(recording, Waveform):
            recording.check(speech=speech)
            return recording.resample(rate).to(self.device)
        return Waveform.read(recording, rate, channel).to(self.device)
