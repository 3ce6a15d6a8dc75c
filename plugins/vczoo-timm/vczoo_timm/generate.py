"""Writes `models.json`: which of timm's models run on a log-mel image, how they are cut, and their weights.

    python -m vczoo_timm.generate [--processes 2] [--only PATTERN]

Each model is built on torch's meta device, so no weights are made, and runs as a backbone on images of 80 mels and two
widths. Models that fail are left out, with the reason on standard error.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import timm
import torch

from vczoo import ContractError, VisionBackbone
from vczoo_timm.network import create, cut, staging_of
from vczoo_timm.weights import config_of

__all__ = ["describe", "main"]

NUM_MELS = 80
OTHER_WIDTH = 160  # mel frames; the constructor of VisionBackbone has run 128
FAULTY = ("mvitv2_",)
SETTINGS: tuple[dict[str, bool], ...] = ({}, {"dynamic_img_size": True}, {"strict_img_size": False})
ROW_MULTIPLES = (1, 32)
TIME_STRIDES = (2, 32)  # the usual default, and the one that leaves every stride as it is
SPDX = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "bsd-3-clause": "BSD-3-Clause",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
}


def license_id(name: str | None) -> str:
    """The SPDX identifier of a license in timm's notation."""
    if not name or name == "unknown":
        return "unknown"
    return SPDX.get(name, f"LicenseRef-{name}")


def weights(model: str) -> dict[str, Any]:
    """A model's tags on the Hub, the default first: the license, and the repository if it is not timm/MODEL.TAG."""
    default = config_of(model).tag
    tags = [name.partition(".")[2] for name in timm.list_pretrained(model + ".*")]
    terms: dict[str, Any] = {}
    for tag in sorted(tags, key=lambda tag: tag != default):
        cfg = config_of(f"{model}.{tag}")
        if cfg.hf_hub_id:  # the others are pickles on a web server
            usual = cfg.hf_hub_id == f"timm/{model}.{tag}"
            terms[tag] = license_id(cfg.license) if usual else [license_id(cfg.license), cfg.hf_hub_id]
    return terms


def probe(model: str, staging: str, settings: dict[str, bool], row_multiple: int, time_stride: int) -> int:
    """Build a model, run it as a backbone, and return the number of its stages.

    Raises:
        ContractError: The width of its feature map does not follow that of the image.
        Exception: timm cannot build or run the model; the type is timm's.
    """
    with torch.device("meta"), torch.no_grad():
        network = create(model, staging, settings)
        stages = cut(network, staging, num_mels=NUM_MELS, row_multiple=row_multiple)
    backbone = VisionBackbone(stages, time_stride=time_stride, num_mels=NUM_MELS).eval()
    activation = torch.zeros(2, 3, NUM_MELS, OTHER_WIDTH, device="meta")
    with torch.no_grad():
        for name, module in backbone.stages():
            version = activation._version
            after = module(activation)
            if activation._version != version:
                raise ContractError(f"stage {name} writes into its input, which may be a cached activation")
            activation = after
    columns = OTHER_WIDTH * backbone.mel_spec.hop_length // backbone.spec.hop_length
    if activation.shape[3] != columns:
        raise ContractError(f"{activation.shape[3]} columns of {OTHER_WIDTH}, expected {columns}")
    return len(stages)


def describe(model: str) -> tuple[str, dict[str, Any] | str]:
    """A model's name, with its entry for the file or the reason why it is left out."""
    if model.startswith(FAULTY):
        return model, "it reads positions that images of another size do not have, which shapes do not show"
    try:
        with torch.device("meta"):
            features = timm.create_model(model, features_only=True)
            parameters = sum(tensor.numel() for tensor in timm.create_model(model).parameters())
    except Exception as error:  # timm raises whatever its models raise
        return model, f"no features_only ({_line(error)})"
    reasons: list[str] = []
    for staging in dict.fromkeys((staging_of(features), "trunk")):
        for settings, row_multiple, time_stride in itertools.product(SETTINGS, ROW_MULTIPLES, TIME_STRIDES):
            if any(key in reason for key in settings for reason in reasons if "unexpected keyword" in reason):
                continue  # this model takes no such setting
            try:
                stages = probe(model, staging, settings, row_multiple, time_stride)
            except Exception as error:
                reasons.append(f"{staging} {settings} {row_multiple} {time_stride}: {_line(error)}")
                continue
            line: dict[str, Any] = {"staging": staging, "stages": stages, "parameters": parameters}
            line |= {"settings": settings} if settings else {}
            line |= {"row_multiple": row_multiple} if row_multiple != ROW_MULTIPLES[0] else {}
            line |= {"time_stride": time_stride} if time_stride != TIME_STRIDES[0] else {}
            return model, line | {"weights": weights(model)}
    return model, " | ".join(reasons[:2])


def main(arguments: list[str] | None = None) -> None:
    """Describe all models and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="*", help="a pattern of model names")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("models.json"))
    options = parser.parse_args(arguments)
    lines: dict[str, dict[str, Any]] = {}
    names = timm.list_models(options.only)
    with multiprocessing.get_context("spawn").Pool(options.processes, maxtasksperchild=20) as pool:
        for model, result in pool.imap(describe, names, chunksize=10):
            if isinstance(result, str):
                sys.stderr.write(f"{model}: left out: {result}\n")
            else:
                lines[model] = result
    body = ",\n".join(f"{json.dumps(name)}: {json.dumps(line)}" for name, line in lines.items())
    options.out.write_text(f'{{"timm": {json.dumps(timm.__version__)}, "models": {{\n{body}\n}}}}\n', "utf-8")
    sys.stderr.write(f"{len(lines)} of {len(names)} models written to {options.out.name}\n")


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


if __name__ == "__main__":
    main()
