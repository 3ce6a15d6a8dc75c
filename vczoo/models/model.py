"""`Model`: backbone, heads and vocoder in a line. Waveforms in; losses, embeddings, voices and waveforms out."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
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
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.modules.nn.gradient_reversal import GradientReversal

__all__ = ["Model", "stage_of"]

_TASKS: dict[Task, type[Head]] = {
    "speaker": SpeakerHead,
    "voice": VoiceHead,
    "text": TextHead,
    "label": LabelHead,
    "frames": FrameHead,
}


class Model(nn.Module):
    """The parts of a recipe, built.

    Args:
        backbone: turns a waveform into frames.
        heads: by name, in the recipe's order.
        shares: each head's weight in the loss.
        vocoder: turns acoustic frames into a waveform; None for a recipe that only recognises.
        acoustic_heads: names of the speaker heads that read mels, as the vocoder does, in place of content.
        reversals: by the head's name, what its gradient is multiplied by and turned round on its way to the backbone.

    Attributes:
        base: digest of each tensor as pretrained weights made it, by its name in `tensors`; empty for random weights.
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
        """Rate of the waveforms that it reads and makes: the vocoder's, and the backbone's where there is none."""
        return (self.vocoder.accepts if self.vocoder else self.backbone.spec).sample_rate_hz

    @property
    def reads_mels(self) -> bool:
        """Whether a head reads mels, in training or to know a voice."""
        return bool(self.voice_heads or self.acoustic_heads)

    @property
    def speakers_by_mels(self) -> bool:
        """Whether a voice is known by its mels, not by content: what the first speaker head reads."""
        return next(iter(self.speaker_heads), "") in self.acoustic_heads

    @property
    def speaker_heads(self) -> dict[str, SpeakerHead]:
        """Speaker heads by name; the first one's embedding is what voice heads are conditioned on."""
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
        """Label heads by name; all of them know the same labels."""
        return {name: head for name, head in self.heads.items() if isinstance(head, LabelHead)}

    @property
    def frame_heads(self) -> dict[str, FrameHead]:
        """Heads that learn from a teacher, by name."""
        return {name: head for name, head in self.heads.items() if isinstance(head, FrameHead)}

    @property
    def tasks(self) -> dict[str, Task]:
        """What each head is for."""
        return {
            name: next(task for task, kind in _TASKS.items() if isinstance(head, kind))
            for name, head in self.heads.items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """All that a run can hold: `backbone.<stage>.<name>`, `heads.<head>.<name>` and `vocoder.<name>`."""
        named = {
            f"backbone.{stage.name}.{name}": tensor
            for stage in self.backbone.stages()
            for name, tensor in stage.module.state_dict().items()
        }
        named |= {f"heads.{name}": tensor for name, tensor in self.heads.state_dict().items()}
        own = self.vocoder.state_dict() if self.vocoder else {}
        return named | {f"vocoder.{name}": tensor for name, tensor in own.items()}

    def content(self, wave: Waveform) -> Frames:
        """The recording as the backbone hears it, at the backbone's own rate: (B, T, C)."""
        frames: Frames = self.backbone(wave.resample(self.backbone.spec.sample_rate_hz))
        return frames

    def acoustic(self, wave: Waveform) -> Frames:
        """The recording as the vocoder reads it: mel frames under its spec, or the backbone's own frames."""
        frames: Frames = self.acoustic_mel(wave) if self.acoustic_mel else self.content(wave)
        return frames

    def pitch(self, wave: Waveform) -> Frames:
        """Pitch frames at the rate of the acoustic frames: (B, T', 2)."""
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
        """The weighted sum of the heads' losses, and `<head>.<figure>` for each.

        Args:
            content: (B, T, C), what `content` gives for excerpts.
            speakers: (B,) indices of who speaks; the speaker heads are passed over where one is -1, a stranger's.
            pitch, target: what `pitch` and `acoustic` give for them; None where no voice head trains.
            reference: (B, T'', C), other excerpts by the same speakers, which a voice is heard in: content, or mels
                where the speaker head reads those; None where there are none but these.
            strangers: whether a speaker is -1; None looks, which on a GPU has to be waited for.
            texts: what is said in each item, for text heads.
            labels: (B,) indices of each item's label, for label heads.
            taught: (B, T, C'), what the teacher hears in them, for heads of frames.
        """
        if has_unknown_speakers is None:
            has_unknown_speakers = bool((speakers < 0).any())
        total = content.values.new_zeros(())
        metrics: dict[str, Tensor] = {}
        own = target if self.speakers_by_mels else content
        embedding = self._speakers_embedding(
            own if reference is None else reference, speakers, elsewhere=reference is not None
        )
        for name, head in self.heads.items():
            loss: Loss | None = None
            read = target if name in self.acoustic_heads else content
            if read is not None and name in self.reversals:
                read = read.with_values(GradientReversal.apply(read.values, self.reversals[name]))  # type: ignore[no-untyped-call]
            if isinstance(head, VoiceHead) and pitch is not None and target is not None:
                loss = head.loss(Source(content, self.backbone.spec, pitch), embedding, target)
            elif read is None:
                continue
            elif isinstance(head, SpeakerHead) and not has_unknown_speakers:
                loss = head.loss(read, speakers)
            elif isinstance(head, TextHead) and texts:
                loss = head.loss(read, texts)
            elif isinstance(head, LabelHead) and labels is not None:
                loss = head.loss(read, labels)
            elif isinstance(head, FrameHead) and teacher_frames is not None:
                loss = head.loss(read, teacher_frames)
            if loss is not None:
                total = total + self.loss_weights[name] * loss.value
                metrics[f"{name}.loss"] = loss.value.detach()
                metrics |= {f"{name}.{figure}": value for figure, value in loss.metrics.items()}
        return Loss(total, metrics)

    def _speakers_embedding(self, heard: Frames | None, speakers: Tensor, *, elsewhere: bool) -> Tensor | None:
        """Each item's speaker, as the mean embedding of that speaker's items in the batch: (B, E).

        A voice is the mean over its recordings, too; an item's own embedding would tell what is said in it. So the
        voice heads' losses reach the speaker head only where it hears the speakers elsewhere.
        """
        if not self.voice_heads or not self.speaker_heads or heard is None:
            return None
        head = next(iter(self.speaker_heads.values()))
        with torch.set_grad_enabled(elsewhere and torch.is_grad_enabled()):
            # Dropout would make the voice differ from what enrolment gives.
            training = head.training
            embedding = head.eval().embed(heard)
            head.train(training)
            same = (speakers[:, None] == speakers[None]).to(embedding.dtype)
            return F.normalize(same @ embedding, dim=1)

    def answers(self, content: Frames, texts: Sequence[str], labels: Tensor | None) -> list[Answer]:
        """What text and label heads say of utterances, beside what is right, as `loss` is told it."""
        found: list[Answer] = []
        for name, text_head in self.text_heads.items() if texts else ():
            given = text_head.transcribe(content)
            found += [Answer(name, "text", text_head.spell(r), g) for r, g in zip(texts, given, strict=True)]
        for name, head in self.label_heads.items() if labels is not None else ():
            assert labels is not None
            pairs = zip(labels.tolist(), head.logits(content).argmax(dim=1).tolist(), strict=True)
            found += [Answer(name, "label", head.labels[right], head.labels[guess]) for right, guess in pairs]
        return found

    @torch.inference_mode()
    def embed(self, wave: Waveform) -> dict[str, Tensor]:
        """Each speaker head's embedding of each item: (B, E) by head name; of a long one, the mean over its parts."""
        found: dict[str, list[Tensor]] = {name: [] for name in self.speaker_heads}
        for index in range(len(wave)):
            parts = list(wave[index].parts())
            for name, head in self.speaker_heads.items():
                hear = self.acoustic if name in self.acoustic_heads else self.content
                found[name].append(_mean_embedding(head, [hear(part) for part in parts]))
        return {name: torch.stack(items) for name, items in found.items()}

    @torch.inference_mode()
    def logits(self, wave: Waveform) -> Tensor:
        """The first speaker head's logits: (B, num_speakers)."""
        hear = self.acoustic if self.speakers_by_mels else self.content
        logits: Tensor = next(iter(self.speaker_heads.values())).logits(hear(wave))
        return logits

    @torch.inference_mode()
    def enroll(self, waves: Sequence[Waveform]) -> dict[str, Tensor]:
        """What the heads keep of a voice, from its recordings: `<head>.<tensor>`, and `pitch` (mean log-Hz).

        A recording of more than half a minute is heard in parts of equal duration, and all parts one by one: with
        their number memory grows by their frames alone, which the heads read together.

        Raises:
            VoiceError: there is no recording.
        """
        if not waves:
            raise VoiceError("a voice is enrolled from at least one recording, got none")
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
        """As `enroll`, from what `content`, `acoustic` and `pitch` give for each recording or part of one.

        Acoustic frames are read by voice heads and speaker heads of mels, pitch by voice heads.
        """
        kept: dict[str, Tensor] = {}
        for name, speaker_head in self.speaker_heads.items():
            read = acoustics if name in self.acoustic_heads else contents
            kept[f"{name}.embedding"] = _mean_embedding(speaker_head, read)
        if self.voice_heads:
            kept["pitch"] = mean_log_hz(Frames.batch(pitches))
            content, acoustic = Frames.batch(contents), Frames.batch(acoustics)
            for name, voice_head in self.voice_heads.items():
                kept |= {f"{name}.{key}": value for key, value in voice_head.enroll(content, acoustic).items()}
        return {name: value.float().cpu().contiguous() for name, value in kept.items()}

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
        """Say what a recording says in a voice: (1, S) -> (1, S).

        Args:
            wave: one recording at `sample_rate_hz`.
            voices: what `enroll` gave; or several of them, each with its share of the voice that is made.
            semitones: how far pitch is moved; None moves its mean to the voice's.
            content, pitch: what `content` and `pitch` gave for it, where they are known.

        Raises:
            VoiceError: the recipe has no voice head.
            ContractError: `semitones` is NaN or infinite.
        """
        self.check_converts()
        mixed = [(voices, 1.0)] if isinstance(voices, Mapping) else list(voices)
        pitch = self.pitch(wave) if pitch is None else pitch
        content = self.content(wave) if content is None else content
        shift = log_ratio(semitones) if semitones is not None else pitch_shift(mixed, mean_log_hz(pitch))
        made: Waveform = self.vocoder(self.say(content, pitch, mixed, shift))  # type: ignore[misc]
        length = wave.samples.shape[1]
        samples = F.pad(made.samples[:, :length], (0, max(0, length - made.samples.shape[1])))
        return Waveform.of(samples, made.sample_rate_hz)

    def check_converts(self) -> None:
        """Refuse a recipe that cannot convert.

        Raises:
            VoiceError: it has no voice head.
        """
        if not self.voice_heads or self.vocoder is None:
            raise VoiceError("this recipe only recognises: it has no voice head. Load one that has, see `vczoo list`")

    @torch.inference_mode()
    def say(
        self, content: Frames, pitch: Frames, voices: Sequence[tuple[Mapping[str, Tensor], float]], shift: float
    ) -> Frames:
        """The acoustic frames of what a recording says, in a voice: (1, T, C) -> (1, T', C').

        Args:
            content, pitch: what `content` and `pitch` give for one recording.
            voices: what `enroll` gave for each voice, with its share.
            shift: the logarithm of the ratio that F0 is multiplied by; NaN leaves it.
        """
        device = content.values.device
        name, head = next(iter(self.voice_heads.items()))
        own = [(self._of_head(name, voice, device), share) for voice, share in voices]
        # A whisper has no pitch to move, and a voice enrolled from whispers has none to move to.
        if math.isfinite(shift):
            pitch = shift_pitch(pitch, shift)
        return head.convert_mix(Source(content, self.backbone.spec, pitch), own)

    def _of_head(self, name: str, voice: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
        """What one voice head reads of a voice: its own tensors, and the first speaker head's embedding."""
        own = {key.removeprefix(f"{name}."): value for key, value in voice.items() if key.startswith(f"{name}.")}
        for speaker_name in list(self.speaker_heads)[:1]:
            own["embedding"] = voice[f"{speaker_name}.embedding"]
        return {key: value.to(device) for key, value in own.items()}


def _mean_embedding(head: SpeakerHead, contents: Sequence[Frames]) -> Tensor:
    """(E,), of length 1."""
    return F.normalize(torch.cat([head.embed(content) for content in contents]).mean(dim=0), dim=0)


def stage_of(name: str) -> str:
    """The key of the stage that a tensor stands in: `backbone.<stage>` or `vocoder`; of heads `heads.<head>`."""
    place, _, rest = name.partition(".")
    return place if place == "vocoder" else f"{place}.{rest.partition('.')[0]}"
