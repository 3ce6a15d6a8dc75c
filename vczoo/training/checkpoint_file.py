"""Checkpoint files: tensors and a JSON state in one safetensors file, with a checksum over both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from vczoo.errors import RunError, WeightsError
from vczoo.io.files import PRIVATE, sweep_partials, write_bytes
from vczoo.io.tensor_file import checksum, tensor_bytes
from vczoo.io.tensors import read_tensors

__all__ = ["damaged", "read_checkpoint", "write_checkpoint"]


def write_checkpoint(path: Path, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint, and remove the unfinished ones of killed processes.

    Raises:
        RunError: The disk cannot be written. The previous checkpoint is kept.
    """
    text = json.dumps(state)
    try:
        sweep_partials(path.parent)
        notes = {"state": text, "checksum": checksum(tensors, text)}
        write_bytes(path, tensor_bytes(tensors, notes), mode=PRIVATE)
    except OSError as error:
        raise RunError(f"{path}: the checkpoint cannot be written ({error}); free some space and resume") from error


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the state and the tensors of a checkpoint. Those of earlier versions have no checksum, and are not checked.

    Raises:
        RunError: The checkpoint is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
        tensors = read_tensors(path)
        if notes.get("checksum", expected := checksum(tensors, notes["state"])) != expected:
            raise ValueError("its contents do not fit their checksum")
        state = json.loads(notes["state"])
    except (WeightsError, SafetensorError, OSError, RuntimeError, KeyError, ValueError) as error:
        raise damaged(path, error) from error
    return state, tensors


def damaged(path: Path, reason: object) -> RunError:
    """The error for a checkpoint that cannot be used."""
    advice = f"restore it from a backup, or remove {path.parent} to start afresh"
    return RunError(f"{path}: this checkpoint is damaged ({reason}); {advice}")
