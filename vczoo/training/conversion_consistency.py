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
from vczoo.training.batch import Batch
from vczoo.training.objective import Objective

__all__ = ["ConversionConsistency"]

FEWEST_VOICED = 5  # frames; with fewer, an item's pitch is not moved


class ConversionConsistency(Objective):
    """Content and speaker of conversions between the items of a batch.

    Reconstruction alone trains a decoder on content and embeddings of the same speaker only, and a conversion never has
    those. So half of the items are also converted to speakers of the other half. The content of the converted mel must
    be that of the recording (the cycle of StarGAN-VC, arXiv:1806.02169, through the content; StarGANv2-VC,
    arXiv:2107.10394, does it with a recognizer), and its speaker embedding that of the other speaker. Only the decoder
    learns from it.

    Args:
        content_weight: Weight of the mean absolute difference of the contents.
        speaker_weight: Weight of 1 minus the cosine of the speaker embeddings.
    """

    name = "conversion"

    def __init__(self, content_weight: float, speaker_weight: float) -> None:
        super().__init__()
        self.content_weight, self.speaker_weight = content_weight, speaker_weight

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
                "training.converted_content_weight and converted_speaker_weight need the voice head mel-decoder and a "
                "speaker head with reads: acoustic; add them to the recipe, or set both weights to 0"
            )
        target, pitch, embedding = heads_batch.target, heads_batch.pitch, heads_batch.embedding
        half = len(heads_batch.content) // 2
        if target is None or pitch is None or embedding is None or not half:
            return None
        assert model.vocoder is not None
        spec = model.vocoder.accepts
        assert isinstance(spec, MelSpec)
        others, target = embedding.roll(half, 0)[:half].detach(), first(target, half)
        source = Source(first(heads_batch.content, half), heads_batch.content_spec, first(moved(pitch, half), half))
        converted = decoder.decode(source, others).cut(target.longest)
        with pinned(model, decoder):
            with torch.no_grad():
                said = model.backbone.content_of_mel(target, spec)
            distance = mean_absolute_error(model.backbone.content_of_mel(converted, spec), said)
            cosine = F.cosine_similarity(speakers.embed(converted), others, dim=1).mean()
        value = self.content_weight * distance + self.speaker_weight * (1 - cosine)
        return Loss(value, {"content": distance.detach(), "cosine": cosine.detach()})


def first(frames: Frames, count: int) -> Frames:
    """The first items."""
    return Frames(frames.values[:count], frames.lengths[:count])


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
