"""A model's name, or where it is, and a recipe's options in; an `EncoderBackbone` out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vczoo import Origin, WeightsError
from vczoo_transformers import models, weights_of
from vczoo_transformers.checkpoint import Checkpoint, load_checkpoint
from vczoo_transformers.encoder import EncoderBackbone, check_layer
from vczoo_transformers.families import family_of
from vczoo_transformers.folder import CONFIG, PREPROCESSOR, make_config, read_config, tensor_files, wants_normalised
from vczoo_transformers.hub import fetch, fetch_config, fetched, locate, parse_repository

__all__ = ["build", "build_auto"]


def build(
    model: str, *, weights: str = "pretrained", layer: int | None = None, stage_layers: int = 2
) -> EncoderBackbone:
    """Build a listed encoder as a backbone.

    Args:
        model: a name of `models.json`.
        weights: pretrained, or pretrained@COMMIT of the repository; random; a folder in transformers' layout; or a
            .safetensors file in its naming.
        layer: the hidden layer that is read: 0 is what enters the first transformer layer, n what leaves the n-th;
            None the last. Layers after it are neither made nor loaded.
        stage_layers: transformer layers in a stage.

    Raises:
        ContractError: the model has no such layer, or the folder is of another model.
        VczooError: the folder has no configuration.
        WeightsError: the weights cannot be had, or do not fit.
    """
    name, line = f"transformers/{model}", models()[model]
    checkpoint = locate(name, weights, weights_of(model), line["config"])
    return _make(name, line["config"], checkpoint, layer, stage_layers, line.get("normalise", False))


def build_auto(
    model: str, *, weights: str = "pretrained", layer: int | None = None, stage_layers: int = 2
) -> EncoderBackbone:
    """Build any encoder of the families that are known, from wherever it is.

    Args:
        model: a folder in transformers' layout, or a repository of the Hub, owner/name[@revision]. Its
            configuration is read, from the Hub too, even when weights are random: it tells what the model is.
        weights: pretrained, those beside the configuration; or random.
        layer, stage_layers: as `build`.

    Raises:
        ContractError: the model is no audio encoder, or has no such layer.
        VczooError: the folder has no configuration.
        WeightsError: as `build`.
    """
    if weights not in {"pretrained", "random"}:
        raise WeightsError(
            f"transformers/auto: weights are {weights!r}, expected pretrained or random; model says where they are"
        )
    checkpoint = None
    if Path(model).is_dir():
        folder = Path(model)
        if weights == "pretrained":
            files = tensor_files(folder)
            checkpoint = Checkpoint(model, Origin.of_path(model, files + _settings(folder)), files)
    else:
        known = parse_repository(model)
        folder = (fetch if weights == "pretrained" else fetch_config)("transformers/auto", known)
        if weights == "pretrained":
            checkpoint = fetched(folder, known)
            origin = Origin.registered(known, checkpoint.files + _settings(folder))
            pins = {"model": f"{origin.source}@{origin.revision}"} if origin.revision else {}
            checkpoint = replace(checkpoint, origin=replace(origin, pins=pins))
    values = read_config(folder)
    normalise = wants_normalised(folder)
    if normalise is None:
        normalise = values.get("feat_extract_norm") == "layer"  # as those that were published are
    return _make(model, values, checkpoint, layer, stage_layers, normalise)


def _settings(folder: Path) -> tuple[Path, ...]:
    """What beside the tensors decides what an encoder is that only its folder knows."""
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
