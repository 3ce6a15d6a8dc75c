"""A folder in transformers' layout: its config.json as a transformers config, and where its tensors are.

config.json, model.safetensors (or shards with their index), and preprocessor_config.json where there is one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, PreTrainedConfig

from vczoo import ContractError, VczooError, WeightsError

__all__ = [
    "CONFIG",
    "INDEX",
    "PICKLE",
    "PREPROCESSOR",
    "WEIGHTS",
    "make_config",
    "read_config",
    "read_json",
    "tensor_files",
    "wants_normalised",
]

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
FORMER_KINDS = {"hifigan": "speecht5_hifigan"}  # what published configurations call it


def read_config(folder: Path) -> dict[str, Any]:
    """The values of a folder's config.json.

    Raises:
        VczooError: there is no such file, or it is no model's configuration.
    """
    if not (folder / CONFIG).is_file():
        raise VczooError(
            f"{folder}: a folder in transformers' layout holds {CONFIG} and {WEIGHTS}; {CONFIG} is missing. "
            "model.save_pretrained(FOLDER) writes both"
        )
    values = read_json(folder / CONFIG)
    if not isinstance(values.get("model_type"), str):
        raise VczooError(f"{folder / CONFIG}: it names no model_type; a transformers model's {CONFIG} was expected")
    return values


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds one object.

    Raises:
        VczooError: it is not that.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VczooError(f"{path}: not a JSON file ({error}); copy or download it again") from error
    if not isinstance(values, dict):
        raise VczooError(f"{path}: holds a {type(values).__name__}, expected an object")
    return values


def make_config(where: str, values: Mapping[str, Any]) -> PreTrainedConfig:
    """transformers' own configuration of these values; no code of a repository is run.

    Raises:
        ContractError: the values are not what this model type takes.
    """
    kind = FORMER_KINDS.get(values["model_type"], values["model_type"])
    if kind not in CONFIG_MAPPING:
        raise ContractError(f"{where}: the installed transformers knows no model_type {kind!r}; a newer one may")
    try:
        return CONFIG_MAPPING[kind].from_dict(dict(values) | {"model_type": kind})
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise ContractError(f"{where}: not a configuration of a {kind} ({error})") from error


def tensor_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a folder, all of them there.

    Raises:
        WeightsError: there are none, or a shard is missing.
    """
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS,)
    if (folder / INDEX).is_file():
        names = sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))
        missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
        if missing or not names:
            raise WeightsError(f"{folder}: {INDEX} names {', '.join(missing) or 'no shard'}, which is not there")
        return tuple(folder / name for name in names)
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in {".bin", ".pt", ".pth", ".ckpt", ".h5"})
    if pickles:
        raise WeightsError(
            f"{folder}: {', '.join(pickles)} may run code when it is opened, and there is no {WEIGHTS}; convert it: "
            "model.save_pretrained(FOLDER) of the installed transformers writes safetensors"
        )
    raise WeightsError(f"{folder}: {WEIGHTS} is missing")


def wants_normalised(folder: Path) -> bool | None:
    """Whether the model's waveforms have mean 0 and variance 1; None where the folder does not say."""
    if not (folder / PREPROCESSOR).is_file():
        return None
    found = read_json(folder / PREPROCESSOR).get("do_normalize")
    return bool(found) if found is not None else None
