"""Checkpoint files: tensors and a JSON state in one safetensors file, with a checksum over both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from vczoo.errors import RunError, WeightsError
from vczoo.io.files import PRIVATE, write_bytes
from vczoo.io.temporary import sweep_partials
from vczoo.io.tensor_file import checksum, tensor_bytes
from vczoo.io.tensors import read_tensors

__all__ = ["FORMAT", "damaged", "read_checkpoint", "write_checkpoint"]

FORMAT = 2  # 1 was two formats, of fine-tunes and of vocoders, which named neither themselves nor their version


def write_checkpoint(path: Path, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint, and remove the unfinished ones of killed processes.

    Raises:
        RunError: The disk cannot be written. The previous checkpoint is kept.
    """
    text = json.dumps({"format": FORMAT, "version": metadata.version("vczoo"), **state})
    try:
        sweep_partials(path.parent)
        notes = {"state": text, "checksum": checksum(tensors, text)}
        write_bytes(path, tensor_bytes(tensors, notes), mode=PRIVATE)
    except OSError as error:
        raise RunError(f"{path}: the checkpoint cannot be written ({error}); free some space and resume") from error


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the state and the tensors of a checkpoint.

    Raises:
        RunError: The checkpoint is damaged, or it has the format of another version of vczoo.
    """
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
        tensors = read_tensors(path)
        if notes.get("checksum", expected := checksum(tensors, notes["state"])) != expected:
            raise ValueError("its contents do not fit their checksum")
        state = dict(json.loads(notes["state"]))
    except (WeightsError, SafetensorError, OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise damaged(path, error) from error
    if (format_ := state.pop("format", 1)) != FORMAT:
        raise _foreign(path, format_, state)
    if "checksum" not in notes:
        raise damaged(path, "it has no checksum")
    del state["version"]
    return state, tensors


def damaged(path: Path, reason: object) -> RunError:
    """The error for a checkpoint that cannot be used."""
    advice = f"restore it from a backup, or remove {path.parent} to start afresh"
    return RunError(f"{path}: this checkpoint is damaged ({reason}); {advice}")


def _foreign(path: Path, format_: object, state: Mapping[str, Any]) -> RunError:
    """The error for a checkpoint in the format of another version."""
    ours = f"this vczoo {metadata.version('vczoo')} reads format {FORMAT} only"
    if format_ == 1:
        kind = "vocoder training" if "baseline" in state else "fine-tuning"
        return RunError(
            f"{path}: a vczoo of before December 2026 wrote this checkpoint (format 1, {kind}), and {ours}. Finish the "
            f"training with the vczoo that began it, or remove {path.parent} to start afresh"
        )
    return RunError(
        f"{path}: vczoo {state.get('version')} wrote this checkpoint (format {format_}), and {ours}. Install that "
        f"version to resume, or remove {path.parent} to start afresh"
    )
