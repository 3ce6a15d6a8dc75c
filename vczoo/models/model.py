"""`Model`: a multi-task model that reads recordings: their content, their voices, and their conversion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.level import follow_level
from vczoo.audio.pitch import log_ratio, mean_log_hz, pitch_frames, pitch_shift, shift_pitch
from vczoo.audio.waveform import Waveform
from vczoo.errors import VoiceError
from vczoo.io.precision import check_single_precision
from vczoo.models.multi_task import MultiTaskModel
from vczoo.modules.interfaces.heads import Source
from vczoo.modules.interfaces.vocoder import PitchVocoder

__all__ = ["Model", "shifted"]


class Model(MultiTaskModel):
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
