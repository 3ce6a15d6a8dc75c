"""Cached outputs of frozen stages as a dataset: the same content as without the cache, and nothing runs twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

import vczoo
from vczoo.errors import ContractError
from vczoo.modules.backbones.mel_conv import MelConv


def small_backbone() -> MelConv:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MelConv(width=6, blocks=1).eval()


@pytest.mark.parametrize("frozen_stages", [0, 1, 2])
def test_the_content_is_that_of_the_backbone(tmp_path: Path, voices_folder: Path, frozen_stages: int) -> None:
    backbone = small_backbone()
    utterances = vczoo.read_corpus(voices_folder).split("validation")
    data = vczoo.CachedFrames(backbone, utterances, frozen_stages, tmp_path)
    assert len(data) == len(utterances)
    (items,) = DataLoader(data, batch_size=len(utterances), collate_fn=list)
    assert [item.utterance for item in items] == list(utterances)
    frames = data.content(items)
    waves = [vczoo.Waveform.read(utterance.path, backbone.spec.sample_rate_hz) for utterance in utterances]
    for index, wave in enumerate(waves):
        torch.testing.assert_close(frames[index].values, backbone(wave).values, atol=1e-5, rtol=1e-4)
    assert frames.values.requires_grad == (frozen_stages < len(backbone.stages()))


def test_frozen_stages_run_once_and_again_for_other_weights(
    tmp_path: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = vczoo.read_corpus(voices_folder).split("validation")
    ran = []
    before = vczoo.training.features.features.run_prefix

    def run(backbone: vczoo.Backbone, waves: list[vczoo.Waveform], depth: int) -> object:
        ran.extend(waves)
        return before(backbone, waves, depth)

    monkeypatch.setattr("vczoo.training.features.features.run_prefix", run)
    for _ in range(2):
        data = vczoo.CachedFrames(small_backbone(), utterances, 1, tmp_path)
        assert data[0].length > 0
    assert len(ran) == len(utterances)
    other = small_backbone()
    with torch.no_grad():
        next(other.stages()[0].module.parameters()).add_(0.1)
    vczoo.CachedFrames(other, utterances, 1, tmp_path)
    assert len(ran) == 2 * len(utterances)


def test_a_backbone_has_only_so_many_stages(voices_folder: Path) -> None:
    with pytest.raises(ContractError, match=r"frozen_stages must be 0 to \d, the stages of this backbone; got 9"):
        vczoo.CachedFrames(small_backbone(), vczoo.read_corpus(voices_folder).split("train"), 9, False)
