"""What the light module registers: complete, true to the installed torchaudio, light; entries keep their promises."""

import pytest
import torch
from torchaudio import pipelines
from torchaudio.models import wavlm_model

from vczoo import Entry
from vczoo.testing import conformance_tests
from vczoo_torchaudio import BUNDLES, generate, layers_of, vczoo_entries, weights_of
from vczoo_torchaudio.build import build

ENTRIES = {entry.name: entry for entry in vczoo_entries()}


def test_thirteen_models_are_registered() -> None:
    assert list(ENTRIES) == [f"torchaudio/{model}" for model in BUNDLES]
    assert len(ENTRIES) == 13
    for entry in ENTRIES.values():
        assert isinstance(entry, Entry)
        assert entry.kind == "backbone"
        assert entry.paper.startswith("arXiv:2")
    assert ENTRIES["torchaudio/wav2vec2-xlsr53"].paper == "arXiv:2006.13979"


def test_the_list_is_that_of_the_installed_torchaudio() -> None:
    found = {
        model: {
            "layers": layers_of(model),
            "weights": [
                {
                    "name": w.name,
                    "source": w.source,
                    "licence": w.licence,
                    "size_bytes": w.size_bytes,
                    "sha256": w.sha256,
                }
                for w in weights_of(model)
            ],
        }
        for model in BUNDLES
    }
    assert found == generate.table(), "run: python -m vczoo_torchaudio.generate"


def test_weights_of_one_model_are_of_one_architecture_and_one_input() -> None:
    sized = (
        "encoder_embed_dim",
        "encoder_num_layers",
        "encoder_num_heads",
        "extractor_mode",
        "encoder_layer_norm_first",
    )
    for model in BUNDLES:
        found = [getattr(pipelines, weights.name) for weights in weights_of(model)]
        assert len({tuple(bundle._params[key] for key in sized) for bundle in found}) == 1
        assert len({(bundle._normalize_waveform, bundle._model_type) for bundle in found}) == 1


def test_licences() -> None:
    licences = {weights.name: weights.licence for weights in weights_of("wav2vec2-base")}
    assert licences["WAV2VEC2_ASR_BASE_960H"] == "MIT"
    assert licences["VOXPOPULI_ASR_BASE_10K_DE"] == "CC-BY-NC-4.0"
    assert "unknown" not in {weights.licence for model in BUNDLES for weights in weights_of(model)}


# One of each feature extractor, and WavLM's attention: the others are larger, deeper, or otherwise trained.
test_conformance = conformance_tests(
    "vczoo_torchaudio", entries=["*/wavlm-base", "*/hubert-base", "*/wav2vec2-large-lv60k"]
)


@pytest.mark.parametrize("model", ["hubert-xlarge", "xlsr-1b", "xlsr-2b", "wavlm-large"])
def test_every_parameter_of_a_whole_large_model_is_in_one_stage(model: str) -> None:
    layers = layers_of(model)
    with torch.device("meta"):
        backbone = build(model, weights="random", layer=layers, stage_layers=8)
        samples = torch.zeros(2, 16_399)
    assert [stage.name for stage in backbone.stages()] == [
        "features",
        *(f"layers{start + 1}to{start + 8}" for start in range(0, layers, 8)),
    ]
    owned = [id(parameter) for stage in backbone.stages() for parameter in stage.module.parameters()]
    assert len(owned) == len(set(owned)) == len(list(backbone.parameters()))
    # All of torchaudio's model, but for the norm after its last layer.
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert 4 * (count + 2 * backbone.spec.channels) == weights_of(model)[0].size_bytes
    if not model.startswith("wavlm"):  # its relative positions are compared on the CPU
        assert backbone.run(samples).shape == (2, 50, backbone.spec.channels)


def test_models_are_torchaudios() -> None:
    bundle = pipelines.WAVLM_BASE_PLUS
    with torch.device("meta"):
        theirs = wavlm_model(**bundle._params | {"encoder_num_layers": 3})
        mine = build("wavlm-base-plus", weights="random", layer=3)
    assert sum(p.numel() for p in mine.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert mine.trunk["features"].dropout.p == bundle._params["encoder_dropout"]
