"""`Model`: a backbone, its heads and a vocoder, with their losses, embeddings, enrollment and conversion."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.level import follow_level
from vczoo.audio.mel import LogMel
from vczoo.audio.pitch import Dio, PitchTracker, log_ratio, mean_log_hz, pitch_frames, pitch_shift, shift_pitch
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import VoiceError
from vczoo.io.precision import check_single_precision
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.head import Column
from vczoo.modules.interfaces.heads import (
    FrameHead,
    Head,
    HeadBatch,
    LabelHead,
    Loss,
    Prediction,
    Source,
    SpeakerHead,
    TextHead,
    VoiceHead,
)
from vczoo.modules.interfaces.vocoder import PitchVocoder, Vocoder

__all__ = ["Model", "shifted", "stage_of"]


class Model(nn.Module):
    """Model built from the parts of a recipe.

    As a module it maps a `Waveform` to the content `Frames` that the heads read; `convert` maps it to another voice.

    Args:
        backbone: Backbone that turns a waveform into content frames.
        heads: Heads by name, in the recipe's order.
        shares: Weight of each head's loss in the total loss, by head name.
        vocoder: Vocoder that turns acoustic frames into a waveform; None for a recipe that only recognizes.
        acoustic_heads: Names of the speaker heads that read the vocoder's mels instead of content.
        tracker: Pitch tracker; None means `Dio`.

    Attributes:
        base: Digest of each tensor that pretrained weights filled, by its name in `tensors`. Empty for random weights.
    """

    def __init__(
        self,
        backbone: Backbone,
        heads: Mapping[str, Head],
        shares: Mapping[str, float],
        vocoder: Vocoder | None,
        acoustic_heads: Collection[str] = (),
        tracker: PitchTracker | None = None,
    ) -> None:
        super().__init__()
        self.tracker = tracker or Dio()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)
        self.loss_weights = dict(shares)
        self.vocoder = vocoder
        self.base: dict[str, str] = {}
        accepts = vocoder.accepts if vocoder else None
        self.acoustic_mel = LogMel(accepts) if isinstance(accepts, MelSpec) else None
        self.acoustic_heads = frozenset(acoustic_heads)

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate in Hz of input and output: that of the vocoder or, without a vocoder, of the backbone."""
        return (self.vocoder.accepts if self.vocoder else self.backbone.spec).sample_rate_hz

    @property
    def reads_mels(self) -> bool:
        """Whether a head reads mels, in training or enrollment."""
        return bool(self.acoustic_heads) or any("target" in head.reads for head in self.heads_for().values())

    @property
    def reads_pitch(self) -> bool:
        """Whether a head reads pitch in training. One that also reads acoustic frames trains only on mels."""
        return any(
            "pitch" in head.reads and ("target" not in head.reads or self.acoustic_mel is not None)
            for head in self.heads_for().values()
        )

    @property
    def speakers_by_mels(self) -> bool:
        """Whether the first speaker head, which embeds the voices, reads mels instead of content."""
        return next(iter(self.speaker_heads), "") in self.acoustic_heads

    def heads_for(self, task: str | None = None) -> dict[str, Head]:
        """Heads by name, in the recipe's order: all of them, or those with one task."""
        heads = cast("dict[str, Head]", dict(self.heads.items()))
        return {name: head for name, head in heads.items() if task in (None, head.task)}

    @property
    def speaker_heads(self) -> dict[str, SpeakerHead]:
        """Speaker heads by name. Voice heads are conditioned on the embedding of the first."""
        return {name: head for name, head in self.heads.items() if isinstance(head, SpeakerHead)}

    @property
    def voice_heads(self) -> dict[str, VoiceHead]:
        """Voice heads by name."""
        return {name: head for name, head in self.heads.items() if isinstance(head, VoiceHead)}

    @property
    def text_heads(self) -> dict[str, TextHead]:
        """Text heads by name."""
        return {name: head for name, head in self.heads.items() if isinstance(head, TextHead)}

    @property
    def label_heads(self) -> dict[str, LabelHead]:
        """Label heads by name. All of them have the same labels."""
        return {name: head for name, head in self.heads.items() if isinstance(head, LabelHead)}

    @property
    def frame_heads(self) -> dict[str, FrameHead]:
        """Frame heads, which learn from a teacher, by name."""
        return {name: head for name, head in self.heads.items() if isinstance(head, FrameHead)}

    @property
    def tasks(self) -> dict[str, str]:
        """Task of each head, by head name."""
        return {name: head.task for name, head in self.heads_for().items()}

    @property
    def annotation_columns(self) -> dict[str, Column]:
        """Manifest columns that the heads read, with their types."""
        return {name: kind for head in self.heads_for().values() for name, kind in head.annotation_columns.items()}

    @property
    def keeps_voices(self) -> bool:
        """Whether a head stores something for each voice."""
        return any(type(head).enroll_voice is not Head.enroll_voice for head in self.heads_for().values())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the model by name: `backbone.<stage>.<name>`, `heads.<head>.<name>` and `vocoder.<name>`."""
        named = {
            f"backbone.{stage.name}.{name}": tensor
            for stage in self.backbone.stages()
            for name, tensor in stage.module.state_dict().items()
        }
        named |= {f"heads.{name}": tensor for name, tensor in self.heads.state_dict().items()}
        vocoder = self.vocoder.state_dict() if self.vocoder else {}
        return named | {f"vocoder.{name}": tensor for name, tensor in vocoder.items()}

    def forward(self, wave: Waveform) -> Frames:
        """Encode recordings with the backbone, as `content` does: (B, S) at any sample rate -> (B, T, C).

        Raises:
            AudioError, ContractError: As for `Waveform.resample` and `Backbone.forward`.
        """
        return self.content(wave)

    def content(self, wave: Waveform) -> Frames:
        """Encode recordings with the backbone: content frames (B, T, C), at the backbone's frame rate."""
        frames: Frames = self.backbone(wave.resample(self.backbone.spec.sample_rate_hz))
        return frames

    def acoustic(self, wave: Waveform) -> Frames:
        """Compute acoustic frames, the vocoder's input: mels of its spec, or the backbone's content frames."""
        frames: Frames = self.acoustic_mel(wave) if self.acoustic_mel else self.content(wave)
        return frames

    def pitch(self, wave: Waveform) -> Frames:
        """Track pitch at the rate of the acoustic frames: (B, T', 2), see `pitch_frames`."""
        return pitch_frames(wave, self.vocoder.accepts if self.vocoder else self.backbone.spec, self.tracker)

    def losses(self, batch: HeadBatch, read: Callable[[str, HeadBatch], HeadBatch] | None = None) -> dict[str, Loss]:
        """Compute the loss of each head that has one for the batch, by name.

        Args:
            batch: Segments of recordings. Heads that need fields which it lacks are skipped.
            read: Function from a head's name and its batch to the one that it reads instead.
        """
        batch = self.with_embedding(batch)
        losses: dict[str, Loss] = {}
        for name, head in self.heads_for().items():
            own = self.batch_for(name, batch)
            if own is None or not own.has(head.reads):
                continue
            loss = head.training_loss(read(name, own) if read else own)
            if loss is not None:
                losses[name] = loss
        return losses

    def loss(self, batch: HeadBatch) -> Loss:
        """Compute the weighted sum of the heads' losses, and each head's figures as `<head>.<figure>`."""
        return self.total(batch, self.losses(batch))

    def total(self, batch: HeadBatch, losses: Mapping[str, Loss]) -> Loss:
        """Add up losses of heads, each multiplied by its weight.

        Args:
            batch: The batch that they are of.
            losses: The loss of each head, from `losses`.
        """
        value = batch.content.values.new_zeros(())
        metrics: dict[str, Tensor] = {}
        for name, loss in losses.items():
            value = value + self.loss_weights[name] * loss.value
            metrics[f"{name}.loss"] = loss.value.detach()
            metrics |= {f"{name}.{figure}": tensor for figure, tensor in loss.metrics.items()}
        return Loss(value, metrics)

    def batch_for(self, name: str, batch: HeadBatch) -> HeadBatch | None:
        """Return a batch as one head reads it: with mels as content if it reads those, or None if there are none."""
        if name not in self.acoustic_heads:
            return batch
        return None if batch.target is None else replace(batch, content=batch.target)

    def with_embedding(self, batch: HeadBatch) -> HeadBatch:
        """Add the embedding of each item's speaker to a batch, if it lacks one and a voice head may read it.

        It is the mean over that speaker's items in the batch: an enrolled voice is a mean over recordings, too, and an
        item's own embedding would leak its content. For the same reason, the voice heads' losses reach the speaker head
        only if the batch has a `reference`.
        """
        segments = batch.target if self.speakers_by_mels else batch.content
        frames = segments if batch.reference is None else batch.reference
        needed = self.voice_heads or any("embedding" in head.reads for head in self.heads_for().values())
        if batch.embedding is not None or batch.speakers is None or frames is None:
            return batch
        if not needed or not self.speaker_heads:
            return batch
        head = next(iter(self.speaker_heads.values()))
        with torch.set_grad_enabled(batch.reference is not None and torch.is_grad_enabled()):
            # With dropout, the voice would differ from the one that `enroll` computes.
            training = head.training
            embedding = head.eval().embed(frames)
            head.train(training)
            same = (batch.speakers[:, None] == batch.speakers[None]).to(embedding.dtype)
            return replace(batch, embedding=F.normalize(same @ embedding, dim=1))

    def predictions(self, batch: HeadBatch) -> list[tuple[str, Prediction]]:
        """Predict what the heads can for the utterances of a batch: the head's name with each prediction."""
        return [
            (name, prediction)
            for name, head in self.heads_for().items()
            if (own := self.batch_for(name, batch)) is not None and own.has(head.reads)
            for prediction in head.predictions(own)
        ]

    def figures(self, predictions: Iterable[tuple[str, Prediction]]) -> dict[str, float]:
        """Summarize the heads' predictions for all utterances, as `<head>.<figure>`."""
        by_head: defaultdict[str, list[Prediction]] = defaultdict(list)
        for name, prediction in predictions:
            by_head[name].append(prediction)
        heads = self.heads_for()
        return {
            f"{name}.{figure}": value
            for name, own in by_head.items()
            for figure, value in heads[name].prediction_figures(own).items()
        }

    @torch.inference_mode()
    def embed(self, wave: Waveform) -> dict[str, Tensor]:
        """Embed each item with each speaker head: (B, E) by head name. A long item gets the mean over its parts."""
        embeddings: dict[str, list[Tensor]] = {name: [] for name in self.speaker_heads}
        for index in range(len(wave)):
            parts = list(wave[index].parts())
            for name, head in self.speaker_heads.items():
                check_single_precision(name, head)
                encode = self.acoustic if name in self.acoustic_heads else self.content
                embeddings[name].append(head.enroll_voice([encode(part) for part in parts], [])["embedding"])
        return {name: torch.stack(items) for name, items in embeddings.items()}

    @torch.inference_mode()
    def logits(self, wave: Waveform) -> Tensor:
        """Logits of the first speaker head: (B, num_speakers)."""
        encode = self.acoustic if self.speakers_by_mels else self.content
        logits: Tensor = next(iter(self.speaker_heads.values())).logits(encode(wave))
        return logits

    @torch.inference_mode()
    def enroll(self, waves: Sequence[Waveform]) -> dict[str, Tensor]:
        """Compute the tensors of a voice from its recordings.

        Recordings of more than 30 s are split into parts of equal duration. Parts are encoded one by one and the heads
        then read them together, so memory grows only by the frames of each part.

        Args:
            waves: Recordings of the speaker, at least one.

        Returns:
            The heads' tensors as `<head>.<tensor>` and, with a voice head, `pitch` (mean log-Hz, (1,)).

        Raises:
            VoiceError: There is no recording.
        """
        if not waves:
            raise VoiceError("enrolling a voice needs at least one recording, got none")
        parts = [part for wave in waves for part in wave.parts()]
        return self.voice_of(
            [self.content(part) for part in parts],
            [self.acoustic(part) for part in parts] if self.reads_mels else [],
            [self.pitch(part) for part in parts] if self.voice_heads else [],
        )

    @torch.inference_mode()
    def voice_of(
        self, contents: Sequence[Frames], acoustics: Sequence[Frames], pitches: Sequence[Frames]
    ) -> dict[str, Tensor]:
        """Compute the tensors of a voice, as `enroll` does, from the frames of its recordings or their parts.

        Args:
            contents: Content frames.
            acoustics: Acoustic frames, for voice heads and for speaker heads that read mels; empty without these.
            pitches: Pitch frames, for voice heads; empty without these.
        """
        tensors = {"pitch": mean_log_hz(Frames.batch(pitches))} if self.voice_heads else {}
        for name, head in self.heads_for().items():
            check_single_precision(name, head)
            own = head.enroll_voice(acoustics if name in self.acoustic_heads else contents, acoustics)
            tensors |= {f"{name}.{key}": value for key, value in own.items()}
        return {name: value.float().cpu().contiguous() for name, value in tensors.items()}

    @torch.inference_mode()
    def convert(
        self,
        wave: Waveform,
        voices: Mapping[str, Tensor] | Sequence[tuple[Mapping[str, Tensor], float]],
        *,
        semitones: float | None = None,
        content: Frames | None = None,
        pitch: Frames | None = None,
    ) -> Waveform:
        """Convert a recording to a voice: (1, S) -> (1, S). What is softer in the recording is softer in the result.

        Args:
            wave: One recording at `sample_rate_hz`.
            voices: Tensors of a voice from `enroll`, or a list of several voices with their shares in the mix.
            semitones: Pitch shift in semitones. None moves the mean pitch to that of the voice.
            content: Content frames of the recording, if they are computed already.
            pitch: Pitch frames of the recording, if they are computed already.

        Raises:
            VoiceError: The recipe has no voice head.
            ContractError: `semitones` is out of range.
        """
        self.check_converts()
        mixed = [(voices, 1.0)] if isinstance(voices, Mapping) else list(voices)
        pitch = self.pitch(wave) if pitch is None else pitch
        content = self.content(wave) if content is None else content
        shift = log_ratio(semitones) if semitones is not None else pitch_shift(mixed, mean_log_hz(pitch))
        frames = self.say(content, pitch, mixed, shift)
        converted = self.synthesize(frames, shifted(pitch, shift))
        length = wave.samples.shape[1]
        samples = F.pad(converted.samples[:, :length], (0, max(0, length - converted.samples.shape[1])))
        return Waveform.of(follow_level(samples[0], wave.samples[0], wave.sample_rate_hz), converted.sample_rate_hz)

    def check_converts(self) -> None:
        """Raise VoiceError if the model cannot convert.

        Raises:
            VoiceError: The recipe has no voice head, or no vocoder.
        """
        if not self.voice_heads or self.vocoder is None:
            raise VoiceError(
                "this recipe only recognizes: it has no voice head. Load one with a voice head, see `vczoo list`"
            )

    @torch.inference_mode()
    def say(
        self, content: Frames, pitch: Frames, voices: Sequence[tuple[Mapping[str, Tensor], float]], shift: float
    ) -> Frames:
        """Convert content frames to the acoustic frames of a voice: (1, T, C) -> (1, T', acoustic channels).

        Args:
            content: Content frames of one recording, (1, T, C).
            pitch: Pitch frames of the recording, (1, T', 2).
            voices: Tensors of each voice from `enroll`, with its share in the mix.
            shift: Natural logarithm of the ratio by which F0 is multiplied. NaN leaves the pitch unchanged.
        """
        device = content.values.device
        name, head = next(iter(self.voice_heads.items()))
        check_single_precision(name, head)
        mix = [(self._voice_for_head(name, voice, device), share) for voice, share in voices]
        return head.convert_mix(Source(content, self.backbone.spec, shifted(pitch, shift)), mix)

    def synthesize(self, frames: Frames, pitch: Frames, before: Waveform | None = None) -> Waveform:
        """Run the vocoder: (B, T', acoustic channels), (B, T', 2) -> (B, S).

        Args:
            frames: Acoustic frames.
            pitch: Pitch frames at the same times, for a vocoder that reads them.
            before: The first samples of the waveform, if they exist already (see `Vocoder.follow`).
        """
        assert self.vocoder is not None
        check_single_precision("the vocoder", self.vocoder)
        options = {"pitch": pitch} if isinstance(self.vocoder, PitchVocoder) else {}
        if before is not None:
            return self.vocoder.follow(frames, before, **options)
        wave: Waveform = self.vocoder(frames, **options)
        return wave

    def _voice_for_head(self, name: str, voice: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
        """Select the tensors of a voice that one voice head reads: its own, and the first speaker head's embedding."""
        tensors = {key.removeprefix(f"{name}."): value for key, value in voice.items() if key.startswith(f"{name}.")}
        for speaker_name in list(self.speaker_heads)[:1]:
            tensors["embedding"] = voice[f"{speaker_name}.embedding"]
        return {key: value.to(device) for key, value in tensors.items()}


def shifted(pitch: Frames, shift: float) -> Frames:
    """Multiply F0 by exp(shift).

    NaN leaves it unchanged: the recording, or all recordings of the voice, are whispered.
    """
    return shift_pitch(pitch, shift) if math.isfinite(shift) else pitch


def stage_of(name: str) -> str:
    """Key of the stage that a tensor belongs to: `backbone.<stage>`, `heads.<head>` or `vocoder`.

    Args:
        name: Name of the tensor in `Model.tensors`.
    """
    part, _, rest = name.partition(".")
    return part if part == "vocoder" else f"{part}.{rest.partition('.')[0]}"
