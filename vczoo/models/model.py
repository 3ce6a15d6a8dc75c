"""`Model`: a backbone, its heads and a vocoder, with their losses, embeddings, enrollment and conversion."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.level import follow_level
from vczoo.audio.mel import LogMel
from vczoo.audio.pitch import log_ratio, mean_log_hz, pitch_frames, pitch_shift, shift_pitch
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import VoiceError
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.heads import (
    Answer,
    FrameHead,
    Head,
    LabelHead,
    Loss,
    Source,
    SpeakerHead,
    Task,
    TextHead,
    VoiceHead,
)
from vczoo.modules.interfaces.vocoder import PitchVocoder, Vocoder
from vczoo.modules.nn.gradient_reversal import GradientReversal

__all__ = ["Model", "shifted", "stage_of"]

_TASKS: dict[Task, type[Head]] = {
    "speaker": SpeakerHead,
    "voice": VoiceHead,
    "text": TextHead,
    "label": LabelHead,
    "frames": FrameHead,
}


class Model(nn.Module):
    """Model built from the parts of a recipe.

    As a module it maps a `Waveform` to the content `Frames` that the heads read; `convert` maps it to another voice.

    Args:
        backbone: Backbone that turns a waveform into content frames.
        heads: Heads by name, in the recipe's order.
        shares: Weight of each head's loss in the total loss, by head name.
        vocoder: Vocoder that turns acoustic frames into a waveform; None for a recipe that only recognizes.
        acoustic_heads: Names of the speaker heads that read the vocoder's mels instead of content.
        reversals: Strength of the gradient reversal between a head and the backbone, by head name.

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
        reversals: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)
        self.loss_weights = dict(shares)
        self.vocoder = vocoder
        self.base: dict[str, str] = {}
        accepts = vocoder.accepts if vocoder else None
        self.acoustic_mel = LogMel(accepts) if isinstance(accepts, MelSpec) else None
        self.acoustic_heads = frozenset(acoustic_heads)
        self.reversals = {name: strength for name, strength in (reversals or {}).items() if strength}

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate in Hz of input and output: that of the vocoder or, without a vocoder, of the backbone."""
        return (self.vocoder.accepts if self.vocoder else self.backbone.spec).sample_rate_hz

    @property
    def reads_mels(self) -> bool:
        """Whether a head reads mels, in training or enrollment."""
        return bool(self.voice_heads or self.acoustic_heads)

    @property
    def speakers_by_mels(self) -> bool:
        """Whether the first speaker head, which embeds the voices, reads mels instead of content."""
        return next(iter(self.speaker_heads), "") in self.acoustic_heads

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
    def tasks(self) -> dict[str, Task]:
        """Task of each head, by head name."""
        return {
            name: next(task for task, kind in _TASKS.items() if isinstance(head, kind))
            for name, head in self.heads.items()
        }

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
        return pitch_frames(wave, self.vocoder.accepts if self.vocoder else self.backbone.spec)

    def loss(
        self,
        content: Frames,
        speakers: Tensor,
        pitch: Frames | None,
        target: Frames | None,
        reference: Frames | None = None,
        *,
        has_unknown_speakers: bool | None = None,
        texts: Sequence[str] = (),
        labels: Tensor | None = None,
        teacher_frames: Frames | None = None,
    ) -> Loss:
        """Compute the weighted sum of the heads' losses, and each head's figures as `<head>.<figure>`.

        Args:
            content: Content frames of the segments, (B, T, C).
            speakers: Index of each item's speaker, (B,); -1 for speakers outside the training set. If any is -1, the
                speaker heads are skipped.
            pitch: Pitch frames of the segments, (B, T', 2); None if no voice head trains.
            target: Acoustic frames of the segments, (B, T', acoustic channels); None if no head reads them.
            reference: Other segments by the same speakers, (B, T'', C), from which the voices are embedded: content, or
                mels if the speaker head reads mels. None takes the voices from the segments themselves.
            has_unknown_speakers: Whether any of `speakers` is -1. None checks, which has to wait for a GPU.
            texts: Transcript of each item, for text heads.
            labels: Index of each item's label, (B,), for label heads.
            teacher_frames: The teacher's frames of the segments, (B, T, teacher channels), for frame heads.
        """
        if has_unknown_speakers is None:
            has_unknown_speakers = bool((speakers < 0).any())
        total = content.values.new_zeros(())
        metrics: dict[str, Tensor] = {}
        segments = target if self.speakers_by_mels else content
        embedding = self._speakers_embedding(
            segments if reference is None else reference, speakers, with_gradient=reference is not None
        )
        for name, head in self.heads.items():
            loss: Loss | None = None
            frames = target if name in self.acoustic_heads else content
            if frames is not None and name in self.reversals:
                frames = frames.with_values(GradientReversal.apply(frames.values, self.reversals[name]))  # type: ignore[no-untyped-call]
            if isinstance(head, VoiceHead) and pitch is not None and target is not None:
                loss = head.loss(Source(content, self.backbone.spec, pitch), embedding, target)
            elif frames is None:
                continue
            elif isinstance(head, SpeakerHead) and not has_unknown_speakers:
                loss = head.loss(frames, speakers)
            elif isinstance(head, TextHead) and texts:
                loss = head.loss(frames, texts)
            elif isinstance(head, LabelHead) and labels is not None:
                loss = head.loss(frames, labels)
            elif isinstance(head, FrameHead) and teacher_frames is not None:
                loss = head.loss(frames, teacher_frames)
            if loss is not None:
                total = total + self.loss_weights[name] * loss.value
                metrics[f"{name}.loss"] = loss.value.detach()
                metrics |= {f"{name}.{figure}": value for figure, value in loss.metrics.items()}
        return Loss(total, metrics)

    def _speakers_embedding(self, frames: Frames | None, speakers: Tensor, *, with_gradient: bool) -> Tensor | None:
        """Embed each item's speaker, as the mean over that speaker's items in the batch: (B, E).

        An enrolled voice is a mean over recordings, too, and an item's own embedding would leak its content. For the
        same reason, the voice heads' losses reach the speaker head only if `frames` are not of the segments themselves.
        """
        if not self.voice_heads or not self.speaker_heads or frames is None:
            return None
        head = next(iter(self.speaker_heads.values()))
        with torch.set_grad_enabled(with_gradient and torch.is_grad_enabled()):
            # With dropout, the voice would differ from the one that `enroll` computes.
            training = head.training
            embedding = head.eval().embed(frames)
            head.train(training)
            same = (speakers[:, None] == speakers[None]).to(embedding.dtype)
            return F.normalize(same @ embedding, dim=1)

    def answers(self, content: Frames, texts: Sequence[str], labels: Tensor | None) -> list[Answer]:
        """Predict texts and labels with the text and label heads.

        Args:
            content: Content frames of the utterances, (B, T, C).
            texts: Transcript of each utterance. If it is empty, the text heads are skipped.
            labels: Index of each utterance's label, (B,). If it is None, the label heads are skipped.

        Returns:
            The predictions with their references, head by head.
        """
        answers: list[Answer] = []
        for name, text_head in self.text_heads.items() if texts else ():
            transcripts = text_head.transcribe(content)
            answers += [
                Answer(name, "text", text_head.spell(text), transcript)
                for text, transcript in zip(texts, transcripts, strict=True)
            ]
        for name, head in self.label_heads.items() if labels is not None else ():
            assert labels is not None
            pairs = zip(labels.tolist(), head.logits(content).argmax(dim=1).tolist(), strict=True)
            answers += [Answer(name, "label", head.labels[right], head.labels[guess]) for right, guess in pairs]
        return answers

    @torch.inference_mode()
    def embed(self, wave: Waveform) -> dict[str, Tensor]:
        """Embed each item with each speaker head: (B, E) by head name. A long item gets the mean over its parts."""
        embeddings: dict[str, list[Tensor]] = {name: [] for name in self.speaker_heads}
        for index in range(len(wave)):
            parts = list(wave[index].parts())
            for name, head in self.speaker_heads.items():
                encode = self.acoustic if name in self.acoustic_heads else self.content
                embeddings[name].append(_mean_embedding(head, [encode(part) for part in parts]))
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
        tensors: dict[str, Tensor] = {}
        for name, speaker_head in self.speaker_heads.items():
            frames = acoustics if name in self.acoustic_heads else contents
            tensors[f"{name}.embedding"] = _mean_embedding(speaker_head, frames)
        if self.voice_heads:
            tensors["pitch"] = mean_log_hz(Frames.batch(pitches))
            content, acoustic = Frames.batch(contents), Frames.batch(acoustics)
            for name, voice_head in self.voice_heads.items():
                tensors |= {f"{name}.{key}": value for key, value in voice_head.enroll(content, acoustic).items()}
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


def _mean_embedding(head: SpeakerHead, contents: Sequence[Frames]) -> Tensor:
    """Mean of the embeddings, (E,), normalized to length 1."""
    return F.normalize(torch.cat([head.embed(content) for content in contents]).mean(dim=0), dim=0)


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
