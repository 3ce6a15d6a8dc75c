"""Small models of each family, with random weights, in transformers' layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModel, PreTrainedModel

import vczoo

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.5,
}
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "whisper": (
        "whisper",
        {
            "d_model": 16,
            "encoder_layers": 3,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 24,
            "decoder_layers": 1,
            "decoder_attention_heads": 2,
            "decoder_ffn_dim": 24,
            "max_source_positions": 60,
            "vocab_size": 60,
            "pad_token_id": 0,
        },
    ),
    "wav2vec2": ("wav2vec2", SIZES),
    "wav2vec2-large": ("wav2vec2", SIZES | LARGE),
    "hubert": ("hubert", SIZES | {"feat_proj_layer_norm": False}),
    "hubert-large": ("hubert", SIZES | LARGE),
    "wavlm": ("wavlm", SIZES),
    "wavlm-large": ("wavlm", SIZES | LARGE),
    "data2vec-audio": ("data2vec-audio", SIZES | {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5}),
    "unispeech": ("unispeech", SIZES),
    "unispeech-sat": ("unispeech-sat", SIZES),
    "w2v-bert": ("wav2vec2-bert", SIZES | {"feature_projection_input_dim": 160}),
    "w2v-bert-relative": ("wav2vec2-bert", SIZES | {"position_embeddings_type": "relative"}),
    "w2v-bert-rotary": ("wav2vec2-bert", SIZES | {"position_embeddings_type": "rotary"}),
}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[PreTrainedModel, Path]]:
    """`small(name)`: transformers' own model of one of `KINDS`, and the folder that holds it. Read only."""
    made: dict[str, tuple[PreTrainedModel, Path]] = {}

    def make(name: str) -> tuple[PreTrainedModel, Path]:
        if name not in made:
            kind, values = KINDS[name]
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                model = AutoModel.from_config(CONFIG_MAPPING[kind](**values)).eval()
                with torch.no_grad():  # those that start at 0 or 1 would hide what is mixed up
                    for parameter in model.parameters():
                        parameter.add_(0.1 * torch.randn_like(parameter))
            folder = tmp_path_factory.mktemp(name)
            model.save_pretrained(folder)
            made[name] = model, folder
        return made[name]

    return make


@pytest.fixture
def wave() -> vczoo.Waveform:
    """Two recordings of one second of noise."""
    return vczoo.Waveform.of(0.1 * torch.randn(2, 16000) + 0.01, 16000)
