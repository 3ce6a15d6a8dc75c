"""Pretrained bases with random weights, put where each library looks for its own: a test's Hub or torch's cache.

In: a recipe's name; out: the options that make its model small, the base published, and how to change the base later.
A network that no option shrinks is made small by changing its library's table for the test.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from tests.support.hub.server import HubServer
from vczoo.modules.pretrained import UrlFile

TINY_WAVE: dict[str, Any] = {
    "encoder_embed_dim": 16,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 24,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 2,
    "extractor_conv_layer_config": [(8, 10, 5), *[(8, 3, 2)] * 4, *[(8, 2, 2)] * 2],
}
TINY_WHISPER: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "max_source_positions": 60,
}
TINY_WAVLM: dict[str, Any] = {
    "model_type": "wavlm",
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}


@dataclass(frozen=True)
class Base:
    """A base that is published.

    Attributes:
        overrides: options of the recipe that make its model small, and name the base where the recipe does not.
        repository: on the Hub; "" of one that is elsewhere.
        move: publish other weights under the same name.
    """

    overrides: tuple[str, ...]
    repository: str = ""
    move: Callable[[], object] = lambda: None


class Bases:
    """Makes bases for one test."""

    def __init__(self, hub: HubServer, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.hub, self.patch, self.folder = hub, patch, folder

    def torchvision(self, model: str, *overrides: str) -> Base:
        """In torch's cache, where a download would have put it."""
        pytest.importorskip("vczoo_torchvision")
        from torchvision.models import get_model

        from vczoo_torchvision import build, weights_of
        from vczoo_torchvision.weights import HEADS

        self.patch.setenv("TORCH_HOME", str(self.folder / "torch"))
        weights = replace(weights_of(model)[0], sha256="")  # that of the published file
        self.patch.setattr(build, "weights_of", lambda _: (weights,))
        with torch.device("meta"):
            outline = get_model(model, weights=None).state_dict()
        return self._in_cache(
            UrlFile(weights).path,
            {name: tensor for name, tensor in outline.items() if not name.startswith(HEADS)},
            overrides,
        )

    def timm(self, model: str, *overrides: str) -> Base:
        """In timm's repository on the Hub."""
        timm = pytest.importorskip("timm")
        from vczoo_timm import weights_of

        with torch.device("meta"):
            outline = timm.create_model(model).state_dict()
        return self._on_hub(weights_of(model)[0].source, outline, {}, overrides)

    def torchaudio(self, model: str, *overrides: str) -> Base:
        """In torch's cache; the network is narrower than that of the bundle."""
        pytest.importorskip("vczoo_torchaudio")
        from torchaudio import pipelines
        from torchaudio.models import wav2vec2_model, wavlm_model

        from vczoo_torchaudio import BUNDLES, build, weights_of

        self.patch.setenv("TORCH_HOME", str(self.folder / "torch"))
        bundle = getattr(pipelines, BUNDLES[model])
        for name, value in TINY_WAVE.items():
            self.patch.setitem(bundle._params, name, value)
        params = bundle._params | {"encoder_num_layers": 3, "aux_num_out": None}
        outline = (wavlm_model if bundle._model_type == "WavLM" else wav2vec2_model)(**params).state_dict()
        # The list knows the checksum of the published file.
        weights = replace(weights_of(model)[0], sha256="")
        self.patch.setattr(build, "weights_of", lambda _: (weights,))
        return self._in_cache(UrlFile(weights).path, outline, overrides)

    def whisper(self, model: str, *overrides: str) -> Base:
        """In the repository on the Hub of a listed Whisper; the network is narrower than the published one."""
        pytest.importorskip("vczoo_transformers")
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        from vczoo_transformers import models

        line = models()[model]
        self.patch.setitem(line, "config", line["config"] | TINY_WHISPER)
        config = WhisperConfig(**line["config"])
        return self._on_hub(line["source"], WhisperEncoder(config).state_dict(), config.to_dict(), overrides)

    def auto(self, repository: str, *overrides: str) -> Base:
        """A small WavLM of somebody's on the Hub."""
        pytest.importorskip("vczoo_transformers")
        from transformers import CONFIG_MAPPING, AutoModel

        config = CONFIG_MAPPING["wavlm"].from_dict(TINY_WAVLM)
        outline = AutoModel.from_config(config).state_dict()
        named = ("backbone.use=transformers/auto", f"backbone.model={repository}")
        return self._on_hub(repository, outline, config.to_dict(), (*named, *overrides))

    def vocos(self) -> tuple[str, ...]:
        """The published vocoder's pickle on the Hub with other values, and that one's checksum in the list.

        No option is needed: the recipe names it.
        """
        pytest.importorskip("vczoo_vocos")
        from vczoo_vocos import build

        outline = build.build_published(weights="random").state_dict()
        torch.save(drawn(outline, 7), self.folder / "vocos.bin")
        content = (self.folder / "vocos.bin").read_bytes()
        commit = self.hub.put(build.MEL_24KHZ.source, {"pytorch_model.bin": content})
        registered = replace(build.MEL_24KHZ, sha256=hashlib.sha256(content).hexdigest(), revision=commit)
        self.patch.setattr(build, "MEL_24KHZ", registered)
        return ()

    def _in_cache(self, path: Path, outline: Mapping[str, Tensor], overrides: tuple[str, ...]) -> Base:
        path.parent.mkdir(parents=True)
        torch.save(drawn(outline, 0), path)
        return Base(overrides, move=lambda: torch.save(drawn(outline, 1), path))

    def _on_hub(
        self, repository: str, outline: Mapping[str, Tensor], config: Mapping[str, Any], overrides: tuple[str, ...]
    ) -> Base:
        settings = {"config.json": json.dumps(config).encode()} if config else {}
        self.hub.put(repository, settings | {"model.safetensors": save(drawn(outline, 0))})
        return Base(
            overrides,
            repository,
            lambda: self.hub.put(repository, {"model.safetensors": save(drawn(outline, 1))}),
        )


def drawn(outline: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Values for the names and shapes of a model: small for a matrix, near 1 for a scale and what is divided by."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, tensor in outline.items():
        if not tensor.is_floating_point():
            found[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
            continue
        values = torch.randn(tensor.shape, generator=generator)
        width = max(1, values[0].numel()) if values.ndim > 1 else 1
        near_one = values.ndim < 2 and name.endswith(("weight", "running_var"))
        found[name] = 1 + 0.05 * values.abs() if near_one else values * (1.4 / width**0.5 if width > 1 else 0.05)
    return found
