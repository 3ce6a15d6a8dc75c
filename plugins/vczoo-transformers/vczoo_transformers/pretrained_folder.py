"""Pretrained folders in transformers' layout: reading the configuration and finding the tensors.

Such a folder holds config.json, model.safetensors (or shards and their index), and possibly preprocessor_config.json.
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
    "expects_normalized",
    "make_config",
    "read_config",
    "read_json",
    "tensor_files",
]

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
FORMER_KINDS = {"hifigan": "speecht5_hifigan"}  # the name in published configurations


def read_config(folder: Path) -> dict[str, Any]:
    """The values of a folder's config.json.

    Raises:
        VczooError: The file does not exist, or is not the configuration of a model.
    """
    if not (folder / CONFIG).is_file():
        raise VczooError(
            f"{folder}: a folder in transformers' layout holds {CONFIG} and {WEIGHTS}; {CONFIG} is missing. "
            "model.save_pretrained(FOLDER) writes both"
        )
    values = read_json(folder / CONFIG)
    if not isinstance(values.get("model_type"), str):
        raise VczooError(f"{folder / CONFIG}: it has no model_type; expected the {CONFIG} of a transformers model")
    return values


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        VczooError: It is not such a file.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VczooError(f"{path}: not a JSON file ({error}); copy or download it again") from error
    if not isinstance(values, dict):
        raise VczooError(f"{path}: holds a {type(values).__name__}, expected an object")
    return values


def make_config(where: str, values: Mapping[str, Any]) -> PreTrainedConfig:
    """Make transformers' own configuration from these values, without running code from a repository.

    Raises:
        ContractError: The model type does not accept these values.
    """
    kind = FORMER_KINDS.get(values["model_type"], values["model_type"])
    if kind not in CONFIG_MAPPING:
        raise ContractError(
            f"{where}: the installed transformers does not know the model_type {kind!r}; a newer version may"
        )
    try:
        return CONFIG_MAPPING[kind].from_dict(dict(values) | {"model_type": kind})
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise ContractError(f"{where}: not a configuration of a {kind} ({error})") from error


def tensor_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a folder.

    Raises:
        WeightsError: There are none, or a shard is missing.
    """
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS,)
    if (folder / INDEX).is_file():
        names = sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))
        missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
        if missing or not names:
            raise WeightsError(f"{folder}: {INDEX} names {', '.join(missing) or 'no shard'}, which is missing")
        return tuple(folder / name for name in names)
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in {".bin", ".pt", ".pth", ".ckpt", ".h5"})
    if pickles:
        raise WeightsError(
            f"{folder}: {', '.join(pickles)} may run code when it is opened, and there is no {WEIGHTS}. Convert it: "
            "model.save_pretrained(FOLDER) of the installed transformers writes safetensors"
        )
    raise WeightsError(f"{folder}: {WEIGHTS} is missing")


def expects_normalized(folder: Path) -> bool | None:
    """Whether the model expects waveforms with mean 0 and variance 1; None if the folder does not say."""
    if not (folder / PREPROCESSOR).is_file():
        return None
    normalize = read_json(folder / PREPROCESSOR).get("do_normalize")
    return None if normalize is None else bool(normalize)
