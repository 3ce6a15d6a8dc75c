"""What a conversion should keep and what it should take on, as an objective: the words, and the other speaker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import MelSpec
from vczoo.errors import ContractError
from vczoo.models.model import Model
from vczoo.modules.heads.mel_decoder import MelDecoder
from vczoo.modules.interfaces.head import HeadBatch, Loss
from vczoo.modules.interfaces.voice_head import Source
from vczoo.modules.nn.convnext import mean_absolute_error
from vczoo.training.features.batch import Batch
from vczoo.training.objectives.objective import Objective
from vczoo.training.objectives.recognizer import Recognizer

__all__ = ["ConversionConsistency"]

FEWEST_VOICED = 5  # frames; with fewer, an item's pitch is not moved


class ConversionConsistency(Objective):
    """Content and speaker of conversions between the items of a batch.

    Reconstruction alone trains a decoder on content and embeddings of the same speaker only, and a conversion never has
    those. So half of the items are also converted to speakers of the other half. The content of the converted mel must
    be that of the recording (the cycle of StarGAN-VC, arXiv:1806.02169, through the content), and its speaker embedding
    that of the other speaker. A recognizer must hear the same in it as in the recording (StarGANv2-VC,
    arXiv:2107.10394), and in the reconstruction of the other half. As in every conversion, the mean and deviation of
    each band are moved to those of the other speaker first.

    The modules that judge do not learn from it. What decodes does, and with it the backbone that it reads.

    Args:
        content_weight: Weight of the mean absolute difference of the contents.
        speaker_weight: Weight of 1 minus the cosine of the speaker embeddings.
        recognizer: The recognizer; None for none. It is neither trained nor in checkpoints.
        recognizer_weight: Weight of the mean absolute difference of its features.
    """

    name = "conversion"

    def __init__(
        self,
        content_weight: float,
        speaker_weight: float,
        recognizer: Recognizer | None = None,
        recognizer_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.content_weight, self.speaker_weight = content_weight, speaker_weight
        self.recognizer = (recognizer,)  # in a tuple, it is not one of the objective's modules
        self.recognizer_weight = recognizer_weight

    def forward(self, model: Model, batch: Batch, heads_batch: HeadBatch, losses: Mapping[str, Loss]) -> Loss | None:
        """Convert half of the items. None for a batch of one item.

        Raises:
            ContractError: The recipe has no mel-decoder, or no speaker head that reads mels, or its backbone cannot
                read mels.
        """
        decoder = next((head for head in model.voice_heads.values() if isinstance(head, MelDecoder)), None)
        speakers = next(iter(model.speaker_heads.values()), None)
        if decoder is None or speakers is None or not model.speakers_by_mels:
            raise ContractError(
                "training.converted_content_weight, converted_speaker_weight and recognizer need the voice head "
                "mel-decoder and a speaker head with reads: acoustic; add them to the recipe, or leave these "
                "settings out"
            )
        target, pitch, embedding = heads_batch.target, heads_batch.pitch, heads_batch.embedding
        half = len(heads_batch.content) // 2
        if target is None or pitch is None or embedding is None or not half:
            return None
        assert model.vocoder is not None
        spec = model.vocoder.accepts
        assert isinstance(spec, MelSpec)
        others, recorded = embedding.roll(half, 0)[:half].detach(), first(target, half)
        source = Source(first(heads_batch.content, half), heads_batch.content_spec, first(moved(pitch, half), half))
        decoded = decoder.decode(source, others).cut(recorded.longest)
        converted = decoder.matched(decoded, *decoder.statistics(first(rolled(target, half), half)))
        figures: dict[str, Tensor] = {}
        with pinned(model, decoder):
            if self.content_weight:
                with torch.no_grad():
                    said = model.backbone.content_of_mel(recorded, spec)
                figures["content"] = mean_absolute_error(model.backbone.content_of_mel(converted, spec), said)
            figures["cosine"] = F.cosine_similarity(speakers.embed(converted), others, dim=1).mean()
        if self.recognizer[0] is not None:
            figures["heard"] = self._heard(self.recognizer[0], converted, losses, target, spec)
        value = self.speaker_weight * (1 - figures["cosine"])
        if "content" in figures:
            value = value + self.content_weight * figures["content"]
        if "heard" in figures:
            value = value + self.recognizer_weight * figures["heard"]
        return Loss(value, {name: figure.detach() for name, figure in figures.items()})

    def _heard(
        self, recognizer: Recognizer, converted: Frames, losses: Mapping[str, Loss], target: Frames, spec: MelSpec
    ) -> Tensor:
        """Return how far what the recognizer hears in conversions and reconstructions is from the recordings."""
        recognizer.to(target.values.device)
        judged, half = converted.values, len(converted)
        predicted = next((loss.predicted for loss in losses.values() if loss.predicted is not None), None)
        if predicted is not None:
            rest = predicted.cut(target.longest).values[half:]
            judged = torch.cat([F.pad(judged, (0, 0, 0, rest.shape[1] - judged.shape[1])), rest])
        recorded = first(target, len(judged))
        with torch.no_grad():
            expected = recognizer(recorded, spec)
        return mean_absolute_error(recognizer(recorded.with_values(judged), spec), expected)


def first(frames: Frames, count: int) -> Frames:
    """The first items."""
    return Frames(frames.values[:count], frames.lengths[:count])


def rolled(frames: Frames, places: int) -> Frames:
    """The items, each moved by `places`."""
    return Frames(frames.values.roll(places, 0), frames.lengths.roll(places, 0))


def moved(pitch: Frames, places: int) -> Frames:
    """The pitch (B, T, 2), with each item's mean replaced by that of the item `places` before it."""
    log_f0, voiced = pitch.values.where(pitch.mask(), 0).unbind(dim=2)
    count = voiced.sum(dim=1)
    mean = log_f0.sum(dim=1) / count.clamp(min=1)
    enough = (count >= FEWEST_VOICED) & (count.roll(places, 0) >= FEWEST_VOICED)
    shift = torch.where(enough, mean.roll(places, 0) - mean, 0)
    return pitch.with_values(torch.stack([log_f0 + shift[:, None] * voiced, voiced], dim=2))


@contextmanager
def pinned(model: Model, decoder: nn.Module) -> Iterator[None]:
    """Within the context, all parts but the decoder are in eval mode and let gradients pass without collecting any."""
    own = {id(parameter) for parameter in decoder.parameters()}
    parameters: list[Tensor] = [
        parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in own
    ]
    modes = {module: module.training for module in model.modules()}
    for parameter in parameters:
        parameter.requires_grad_(False)
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter in parameters:
            parameter.requires_grad_(True)
