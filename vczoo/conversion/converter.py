"""`Converter`, what a user holds: recordings and voices by name in, converted speech out; and `load`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vczoo.audio.provenance_mark import Mark
from vczoo.audio.reader import SoundReader
from vczoo.audio.waveform import Waveform
from vczoo.audio.writer import SoundWriter
from vczoo.conversion.chunked import Blocks, convert_in_chunks
from vczoo.conversion.recognition import check_classifies, check_transcribes, classify, transcribe
from vczoo.conversion.stream import Stream
from vczoo.conversion.voice_mix import read_mix
from vczoo.conversion.watermark import embed_watermark, load_watermark
from vczoo.errors import AudioError, RunError, VoiceError
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

SAMPLED_VOICES = 4  # of a run with many, whose samples a card shows
WHOLE_SECONDS = 30.0  # longer recordings are converted piece by piece


class Converter:
    """A model with named voices.

    Args:
        run: what is loaded or was trained.
        device: where it computes; a GPU where there is one.
    """

    def __init__(self, run: Run, device: torch.device | str | None = None) -> None:
        self.run = run
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        run.model.to(self.device).eval()
        self._watermarks: dict[str, Watermark] = {}

    def __repr__(self) -> str:
        return f"<Converter {self.recipe.name}: {len(self.voices)} voices>"

    @property
    def model(self) -> Model:
        """The network: backbone, heads and vocoder."""
        return self.run.model

    @property
    def recipe(self) -> Recipe:
        """What it is made of."""
        return self.run.recipe

    @property
    def voices(self) -> tuple[str, ...]:
        """Names that `convert` takes."""
        return tuple(self.run.voices)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Speakers of the training data."""
        return self.run.speakers

    @property
    def labels(self) -> tuple[str, ...]:
        """What `classify` tells apart; empty without a trained label head."""
        return self.run.labels

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Figures of the fine-tune; empty before one."""
        return self.run.metrics

    def convert(
        self,
        source: Recording,
        voice: str | Mapping[str, float],
        *,
        semitones: float | None = None,
        mark: bool = True,
        watermark: str = "",
    ) -> Waveform:
        """Say what a recording says in a voice; one of more than half a minute piece by piece.

        Args:
            source: a file or waveform of any rate.
            voice: one of `voices`, or a mix by shares: "alice:0.7,bob:0.3" or `{"alice": 0.7, "bob": 0.3}`.
            semitones: how far pitch is moved; None moves its mean to the voice's.
            mark: whether it says that it is synthetic, in this recipe and voice; `save` writes that into the file.
            watermark: name of a registered watermark to embed, inaudibly; nothing by default.

        Returns:
            (1, S) at the model's rate, as long as the source.

        Raises:
            VoiceError: no such voice, shares that do not add up to 1, or the recipe only recognises.
            AudioError: the source cannot be read, or is a batch of several.
            ContractError: `semitones` is NaN or infinite.
            VczooError: no such watermark.
        """
        made = self._made(source, voice, semitones, watermark)
        wave = Waveform.of(torch.cat(list(made)), self.model.sample_rate_hz)
        return replace(wave, mark=self._mark(voice) if mark else None)

    def convert_file(
        self,
        source: Recording,
        out: str | os.PathLike[str],
        voice: str | Mapping[str, float],
        *,
        semitones: float | None = None,
        overwrite: bool = False,
        mark: bool = True,
        watermark: str = "",
        watch: Callable[[float], None] | None = None,
    ) -> float:
        """As `convert`, straight into a file, in memory that does not grow with the recording's length.

        Args:
            out: the file to make; it appears whole or not at all.
            overwrite: whether a file that is there is replaced.
            mark: whether the file's metadata say that it is synthetic, in this recipe and voice.
            watermark: as for `convert`.
            watch: called now and then with the seconds that are written.

        Returns:
            The seconds that were written.

        Raises:
            VoiceError, AudioError, ContractError, VczooError: as `convert`, and `out` exists, is of no known format or
                would lie in a file, or the disk refuses.
        """
        rate = self.model.sample_rate_hz
        told = self._mark(voice) if mark else None
        # Made first, since its faults come before the work.
        writer = SoundWriter(out, rate, overwrite=overwrite, mark=told)
        made = self._made(source, voice, semitones, watermark)
        first = next(made)  # the recording was read once then, and has no fault
        with writer as file:
            for block in chain([first], made):
                file.write(block.numpy())
                if watch:
                    watch(file.written / rate)
        return file.written / rate

    def stream(
        self,
        blocks: Iterable[Tensor | np.ndarray[Any, Any]],
        voice: str | Mapping[str, float],
        *,
        semitones: float | None = None,
        sample_rate_hz: int | None = None,
        block_seconds: float = 0.5,
        history_seconds: float = 4.0,
        lookahead_seconds: float = 0.25,
    ) -> Stream:
        """Convert while somebody is still speaking: blocks of samples in, an iterator of converted blocks out.

        Args:
            blocks: samples (S,) in [-1, 1], of any lengths.
            voice: as for `convert`.
            semitones: how far pitch is moved; None moves the mean of what was heard so far to the voice's.
            sample_rate_hz: of the blocks; None for the model's.
            block_seconds: of a block that comes out, rounded to where frames of content and vocoder begin together.
            history_seconds: that are heard again with each block; more is nearer to `convert`, and slower.
            lookahead_seconds: that are heard before a block is made.

        Returns:
            The blocks (S',) at the model's rate, together as long as what came in; and `latency_seconds`. They are bare
            tensors and carry no mark: who writes or sends them says that they are synthetic.

        Raises:
            VoiceError: as `convert`.
            ContractError: a length is out of range, or `semitones` is NaN or infinite.
            AudioError: `sample_rate_hz` is no rate that can be resampled; while it is iterated over, a block that came
                in is no row of finite floats.
        """
        return Stream(
            self.model,
            blocks,
            self._voices(voice),
            semitones=semitones,
            sample_rate_hz=self.model.sample_rate_hz if sample_rate_hz is None else sample_rate_hz,
            block_seconds=block_seconds,
            history_seconds=history_seconds,
            lookahead_seconds=lookahead_seconds,
            device=self.device,
        )

    def enroll(self, name: str, recordings: Recording | Sequence[Recording], *, overwrite: bool = False) -> None:
        """Add a voice from recordings of it, with no training; `save` keeps it. Long ones are heard in parts.

        Raises:
            VoiceError: the name is taken (and `overwrite` false) or not fit for one, there is no recording, or the
                recipe has no head that would keep anything of a voice.
            AudioError: a recording cannot be read; the voice is not added then.
        """
        if not self.model.speaker_heads and not self.model.voice_heads:
            raise VoiceError("this recipe has neither a speaker nor a voice head, so it keeps no voices")
        if not name.strip() or "/" in name or not name.isprintable():
            raise VoiceError(f"a voice's name is printable text without '/', got {name!r}")
        alike = [known for known in own_voices(self.run) if known.casefold() == name.casefold()]
        if alike and not (overwrite and name in alike):
            raise VoiceError(f"voice {alike[0]!r} is there already; choose another name, or overwrite it on purpose")
        if isinstance(recordings, str | os.PathLike | Waveform):
            recordings = [recordings]
        waves = [self._read(recording) for recording in recordings]
        self.run.voices[name] = Voice(name, self.model.enroll(waves))
        for lent in [known for known in self.voices if known != name and known.casefold() == name.casefold()]:
            del self.run.voices[lent]

    def identify(self, recording: Recording) -> dict[str, float]:
        """Cosine of a recording's speaker embedding to that of each voice, the nearest first.

        Raises:
            VoiceError: the recipe has no speaker head, or there is no voice.
            AudioError: the recording cannot be read.
        """
        embedding = self.embed(recording)
        if not self.voices:
            raise VoiceError("there is no voice to compare with; `enroll` adds one from recordings")
        key = f"{next(iter(self.model.speaker_heads))}.embedding"
        scores = {name: float(embedding @ voice.tensors[key]) for name, voice in self.run.voices.items()}
        return dict(sorted(scores.items(), key=lambda item: -item[1]))

    def embed(self, recording: Recording) -> Tensor:
        """The speaker embedding of a recording: (E,), of length 1; of a long one, the mean over its parts.

        Raises:
            VoiceError: the recipe has no speaker head.
            AudioError: the recording cannot be read.
        """
        if not self.model.speaker_heads:
            raise VoiceError("this recipe has no speaker head; load one that has, see `vczoo list`")
        return next(iter(self.model.embed(self._read(recording)).values()))[0].cpu()

    def transcribe(self, recording: Recording) -> str:
        """What is said in a recording, as the recipe's first text head writes it, however long it is.

        Raises:
            VczooError: the recipe has no text head, or a fresh one.
            AudioError: the recording cannot be read, or is a batch of several.
        """
        self.check_transcribes()
        return transcribe(self.model, self._one(recording))

    def classify(self, recording: Recording) -> dict[str, float]:
        """The probability of each label that the recipe's first label head knows, the likeliest first.

        Raises:
            VczooError: the recipe has no label head, or a fresh one.
            AudioError: the recording cannot be read, or is a batch of several.
        """
        self.check_classifies()
        return classify(self.model, self._one(recording))

    def check_transcribes(self) -> None:
        """Refuse what cannot `transcribe`.

        Raises:
            VczooError: there is no text head, or a fresh one.
        """
        check_transcribes(self.model, bool(self.run.metrics))

    def check_classifies(self) -> None:
        """Refuse what cannot `classify`.

        Raises:
            VczooError: there is no label head, or a fresh one.
        """
        check_classifies(self.model, self.labels)

    def save(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, whole: bool = False, half: bool = False
    ) -> Path:
        """Write it as a run folder, which `load` reads.

        Args:
            overwrite: whether a run that is there is replaced.
            whole: whether what is the pretrained base's is kept, too, so that nobody needs the base to load it.
            half: whether float32 is written as float16: half the bytes, each value rounded to 11 significant bits.
                `load` makes float32 of it again; the model in memory stays as it is. What is pushed is written in full.

        Raises:
            RunError: the path exists (and `overwrite` is false or it is no run), the disk refuses, or `half` and a
                value is beyond float16's, 65504.
        """
        path = Path(path)
        if path.exists() and not (overwrite and is_run(path)):
            raise RunError(f"{path} exists; choose another folder, or overwrite a run on purpose")
        return save_run(self.run, path, whole=whole, half=half)

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
        """Publish it on the Hugging Face Hub, in one commit, with a generated card. No recording leaves the machine.

        Args:
            name: owner/name.
            license: identifier of the Hub, cc-by-4.0; it must go with those of the base weights and the data.
            consent: by what right its voices are shared: own-voice, written-consent, public-dataset:<name>, synthetic.
            private: whether only its owner sees it.
            tag: a name for this version, v1.
            whole: whether the base's tensors are published, too, so that nobody needs the base to load it.
            languages: that its voices speak, by their codes.
            data_license: of the recordings, where it is known.
            samples: recordings that are converted into its first voices, for the card; these conversions are published.
            share_frames: whether voices may be published that hold their recordings frame by frame, as kNN's do.
            message: of the commit.
            dry_run: whether all is made and checked, and nothing is sent.

        Raises:
            LicenceError: the licence or the statement of consent is none, or does not go with what it is made of.
            HubError: it means nothing on another machine, or cannot be published, and why.
            AudioError, VoiceError: a sample cannot be converted.
        """
        from vczoo.hub.push import push  # imports the Hub's client, which nothing else needs

        with TemporaryDirectory(prefix="vczoo-samples-") as place:
            made: list[tuple[str, Path]] = []
            for voice in list(own_voices(self.run))[:SAMPLED_VOICES] if samples else ():
                for sample in samples:
                    file = Path(place) / f"{len(made)}.wav"
                    self.convert_file(sample, file, voice)
                    made.append((voice, file))
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
                samples=made,
                share_frames=share_frames,
                message=message,
                dry_run=dry_run,
            )

    def _voices(self, voice: str | Mapping[str, float]) -> list[tuple[Mapping[str, Tensor], float]]:
        self.model.check_converts()
        shares = read_mix(voice, self.voices)
        return [(self.run.voices[name].tensors, share) for name, share in shares.items()]

    def _made(
        self, source: Recording, voice: str | Mapping[str, float], semitones: float | None, watermark: str
    ) -> Iterator[Tensor]:
        """Blocks (S,) on the CPU of what `convert` gives; a short recording is one."""
        model, voices, blocks = self.model, self._voices(voice), self._blocks(source)
        part = self._watermark(watermark) if watermark else None
        if blocks.seconds <= WHOLE_SECONDS:
            made = iter([model.convert(self._read(source), voices, semitones=semitones).to("cpu").samples[0]])
        else:
            made = convert_in_chunks(model, blocks, voices, semitones=semitones, device=self.device)
        if part is None:
            return made
        return (embed_watermark(part, Waveform.of(block, model.sample_rate_hz)).samples[0] for block in made)

    def _watermark(self, name: str) -> Watermark:
        if name not in self._watermarks:
            self._watermarks[name] = load_watermark(name)
        return self._watermarks[name]

    def _mark(self, voice: str | Mapping[str, float]) -> Mark:
        shares = {name: float(f"{share:.4g}") for name, share in read_mix(voice, self.voices).items()}
        return Mark(self.recipe.name, shares, self.run.revision)

    def _blocks(self, recording: Recording) -> Blocks:
        source = recording if isinstance(recording, Waveform) else SoundReader(recording)
        if isinstance(source, Waveform) and len(source) != 1:
            raise AudioError(f"one recording is converted at a time, this batch has {len(source)}; convert wave[i]")
        return Blocks(source, self.model.sample_rate_hz)

    def _one(self, recording: Recording) -> Waveform:
        if isinstance(recording, Waveform) and len(recording) != 1:
            raise AudioError(f"one recording is heard at a time, this batch has {len(recording)}; give wave[i]")
        return self._read(recording)

    def _read(self, recording: Recording) -> Waveform:
        rate = self.model.sample_rate_hz
        wave = recording.resample(rate) if isinstance(recording, Waveform) else Waveform.read(recording, rate)
        return wave.to(self.device)
