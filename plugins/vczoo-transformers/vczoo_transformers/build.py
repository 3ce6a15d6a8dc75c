"""Builds an `EncoderBackbone` from a model's name, folder or repository and a recipe's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vczoo import Origin, WeightsError
from vczoo_transformers import models, weights_of
from vczoo_transformers.encoder import EncoderBackbone, check_layer
from vczoo_transformers.families import family_of
from vczoo_transformers.pretrained_folder import (
    CONFIG,
    PREPROCESSOR,
    expects_normalized,
    make_config,
    read_config,
    tensor_files,
)
from vczoo_transformers.weights import Checkpoint, load_checkpoint
from vczoo_transformers.weights_files import checkpoint_of, fetch, fetch_config, locate, parse_repository

__all__ = ["build", "build_auto"]


def build(
    model: str, *, weights: str = "pretrained", layer: int | None = None, stage_layers: int = 2
) -> EncoderBackbone:
    """Build a listed encoder as a backbone.

    Args:
        model: A name in `models.json`.
        weights: `pretrained`; `pretrained@COMMIT` of the repository; `random`; a folder in transformers' layout; or a
            .safetensors file with transformers' tensor names.
        layer: The transformer layer whose output is returned, from 1; 0 is the input of the first layer, and None is
            the last layer. Later layers are neither built nor loaded.
        stage_layers: The number of transformer layers per stage.

    Raises:
        ContractError: The model has no such layer, or the folder holds another model.
        VczooError: The folder has no configuration.
        WeightsError: The weights are unavailable or do not fit.
    """
    name, line = f"transformers/{model}", models()[model]
    checkpoint = locate(name, weights, weights_of(model), line["config"])
    return _make(name, line["config"], checkpoint, layer, stage_layers, line.get("normalise", False))


def build_auto(
    model: str, *, weights: str = "pretrained", layer: int | None = None, stage_layers: int = 2
) -> EncoderBackbone:
    """Build any encoder of the supported families, from a folder or the Hub.

    Args:
        model: A folder in transformers' layout, or a repository on the Hub, owner/name[@revision]. Its
            configuration is always read, from the Hub if need be, because it says what the model is.
        weights: `pretrained` (the weights next to the configuration) or `random`.
        layer: As in `build`.
        stage_layers: As in `build`.

    Raises:
        ContractError: The model is not an audio encoder, or has no such layer.
        VczooError: The folder has no configuration.
        WeightsError: As in `build`.
    """
    if weights not in {"pretrained", "random"}:
        raise WeightsError(
            f"transformers/auto: weights are {weights!r}, expected pretrained or random; "
            "set model to the folder or repository to load them from"
        )
    checkpoint = None
    if Path(model).is_dir():
        folder = Path(model)
        if weights == "pretrained":
            files = tensor_files(folder)
            checkpoint = Checkpoint(model, Origin.of_path(model, files + _settings(folder)), files)
    else:
        repository = parse_repository(model)
        folder = (fetch if weights == "pretrained" else fetch_config)("transformers/auto", repository)
        if weights == "pretrained":
            checkpoint = checkpoint_of(folder, repository)
            origin = Origin.registered(repository, checkpoint.files + _settings(folder))
            pins = {"model": f"{origin.source}@{origin.revision}"} if origin.revision else {}
            checkpoint = replace(checkpoint, origin=replace(origin, pins=pins))
    values = read_config(folder)
    normalise = expects_normalized(folder)
    if normalise is None:
        normalise = values.get("feat_extract_norm") == "layer"  # true of the published models
    return _make(model, values, checkpoint, layer, stage_layers, normalise)


def _settings(folder: Path) -> tuple[Path, ...]:
    """The files next to the tensors that define an encoder of a folder."""
    return tuple(folder / name for name in (CONFIG, PREPROCESSOR) if (folder / name).is_file())


def _make(
    name: str,
    values: Mapping[str, Any],
    checkpoint: Checkpoint | None,
    layer: int | None,
    stage_layers: int,
    normalise: bool,
) -> EncoderBackbone:
    config = make_config(name, values)
    family = family_of(name, config)
    num_layers = getattr(config, family.layers_field)
    layer = check_layer(name, layer, num_layers)
    encoder = family.make(config, layer)
    if checkpoint:
        load_checkpoint(encoder, checkpoint, landmark=family.landmark, num_layers=layer)
    backbone = family.wrap(encoder, stage_layers, layer == num_layers, normalise)
    backbone.origin = checkpoint.origin if checkpoint else None
    return backbone
