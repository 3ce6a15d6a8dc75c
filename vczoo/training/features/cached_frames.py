"""A dataset of the outputs of frozen stages, for a training loop of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Utterance
from vczoo.errors import ContractError
from vczoo.io.tensors import digest
from vczoo.models.model import Model
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.runs.versions import digest_of_sources, library_versions
from vczoo.training.features.activations import Activation, in_eval_mode, run_prefix, run_suffix, to_device
from vczoo.training.features.augment import PLAIN
from vczoo.training.features.cache import open_cache
from vczoo.training.features.features import Features

__all__ = ["CachedFrames", "CachedItem"]


class CachedItem(NamedTuple):
    """One item of `CachedFrames`.

    Attributes:
        utterance: The utterance, with its speaker, text and label.
        values: The output of the last frozen stage, (rows, …), on the CPU.
        length: The number of frames that the backbone makes of the utterance.
    """

    utterance: Utterance
    values: Tensor
    length: int


class CachedFrames(Dataset[CachedItem]):
    """The outputs of a backbone's frozen stages for utterances, which run once and are kept in the feature cache.

    Args:
        backbone: The backbone, on its device. Its frozen stages must not change afterwards.
        utterances: The utterances, for example `corpus.split("train")`.
        frozen_stages: The number of stages, from the first on, that are frozen.
        cache: True for the user's cache (`VCZOO_CACHE`), the path of another folder, or false to run the frozen stages
            again every time.

    Raises:
        ContractError: The backbone does not have so many stages.
        AudioError: A recording can no longer be read.
        VczooError: `VCZOO_CACHE_GB` is not a valid size.
    """

    def __init__(
        self,
        backbone: Backbone,
        utterances: Sequence[Utterance],
        frozen_stages: int,
        cache: str | os.PathLike[str] | bool = True,
    ) -> None:
        count = len(backbone.stages())
        if not 0 <= frozen_stages <= count:
            raise ContractError(f"frozen_stages must be 0 to {count}, the stages of this backbone; got {frozen_stages}")
        self.backbone, self.utterances, self.frozen_stages = backbone, tuple(utterances), frozen_stages
        store = None if cache is False else open_cache(None if cache is True else Path(cache))
        self.features = Features(Model(backbone, {}, {}, None), _described(backbone, frozen_stages), store)
        self.features.at(frozen_stages)
        for _ in self.features.fill(self.features.missing(self.utterances, (PLAIN,))):
            pass

    def __len__(self) -> int:
        """The number of utterances."""
        return len(self.utterances)

    def __getitem__(self, index: int) -> CachedItem:
        """The output of the frozen stages for an utterance. It may be mapped from disk, so do not write to it."""
        utterance = self.utterances[index]
        (item,) = self.features.activations([(utterance, PLAIN)])
        return CachedItem(utterance, item.values, item.length)

    def content(self, items: Sequence[CachedItem]) -> Frames:
        """Run the stages that are not frozen, with gradients: the content of each item, (B, T, C), on their device."""
        device = self.features.device
        activations = [Activation(to_device(item.values.float(), device), item.length) for item in items]
        return run_suffix(self.backbone, activations, self.frozen_stages)


def _described(backbone: Backbone, frozen_stages: int) -> dict[str, object]:
    """What identifies a backbone in the cache: its class, and what its frozen stages make of a second of noise."""
    rate_hz = backbone.spec.sample_rate_hz
    noise = torch.rand(1, rate_hz, generator=torch.Generator().manual_seed(0)) - 0.5
    device = next(backbone.parameters()).device
    with in_eval_mode(stage.module for stage in backbone.stages()[:frozen_stages]):
        (probe,) = run_prefix(backbone, [Waveform.of(noise.to(device), rate_hz)], frozen_stages)
    name = f"{type(backbone).__module__}.{type(backbone).__qualname__}"
    return {
        "backbone": {"class": name, "noise": digest(probe.values)},
        "versions": {**library_versions(()), "sources": digest_of_sources({"vczoo"})},
    }
