"""Multi-task models: a backbone and a vocoder with heads by name, and the heads' losses and predictions.

They read frames; `Model` computes these from recordings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.mel import LogMel
from vczoo.audio.pitch import Dio, PitchTracker
from vczoo.audio.specs import MelSpec
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.head import Column
from vczoo.modules.interfaces.heads import (
    FrameHead,
    Head,
    HeadBatch,
    LabelHead,
    Loss,
    Prediction,
    SpeakerHead,
    TextHead,
    VoiceHead,
)
from vczoo.modules.interfaces.vocoder import Vocoder

__all__ = ["MultiTaskModel", "stage_of"]


class MultiTaskModel(nn.Module):
    """A backbone with heads and a vocoder, and the losses and predictions of the heads. `Model` adds recordings.

    Its arguments are those of `Model`.
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


def stage_of(name: str) -> str:
    """Key of the stage that a tensor belongs to: `backbone.<stage>`, `heads.<head>` or `vocoder`.

    Args:
        name: Name of the tensor in `Model.tensors`.
    """
    part, _, rest = name.partition(".")
    return part if part == "vocoder" else f"{part}.{rest.partition('.')[0]}"
