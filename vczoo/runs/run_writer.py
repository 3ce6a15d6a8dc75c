"""Writer of run folders: `save_run` checks a run and replaces the files of the one that was there before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from vczoo.errors import RunError, VczooError, WeightsError
from vczoo.io.files import sha256_of
from vczoo.io.tensor_file import LARGEST_HEADER, halved, layout_of, some_names, tensor_bytes
from vczoo.io.tensors import digest, finite
from vczoo.models.bundled import CONFIG
from vczoo.models.portability import pinned
from vczoo.runs.base_run import relative_to
from vczoo.runs.config import Data, File, RunConfig, fault_lines, parse_config
from vczoo.runs.pretrained_base import describe_base
from vczoo.runs.run import REVISION_DIGITS, Run, is_run, own_voices
from vczoo.runs.run_files import LARGEST_METRICS, LARGEST_MODEL, METRICS, MODEL, VOICES, replace_files
from vczoo.runs.turn import changing
from vczoo.runs.versions import distributions
from vczoo.runs.voices_file import LARGEST_VOICES, voice_tensors

__all__ = ["save_run"]


def save_run(run: Run, path: Path, *, overwrite: bool = True, whole: bool = False, half: bool = False) -> Path:
    """Write a run to a folder.

    A run that was in the folder before is replaced in one step (`vczoo.runs.run_files.replace_files`), and stays as it
    was if anything fails. What `load_run` would refuse is not written. New folders and files are private.

    Args:
        run: The run to write. Its `folder` and `revision` are updated.
        path: The folder.
        overwrite: Whether to replace a run that is in the folder.
        whole: Whether to store tensors that equal the pretrained base's too, so that the run loads without the base.
        half: Whether to store float32 tensors as float16, which halves their size and keeps 11 significant bits. They
            are loaded as float32 again. The model in memory does not change.

    Returns:
        `path`.

    Raises:
        RunError: The folder cannot be written, or it holds a run and `overwrite` is false; the run in it was changed
            since `run` was loaded from there; the model or a voice holds NaN or infinity; the run is larger than
            `load_run` accepts; or `half` is set and a tensor has values beyond the range of float16.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in run.model.tensors().items()}
    delta = None if whole else run.delta
    base = {} if whole else run.model.base
    in_base = {name for name, tensor in tensors.items() if name in base and digest(tensor) == base[name]}
    stored = {name: tensor for name, tensor in tensors.items() if name not in in_base}
    if delta:
        in_base, stored = set(), {name: value.detach().cpu().contiguous() for name, value in delta.tensors.items()}
    voices = own_voices(run)
    enrolled = voice_tensors(voices)
    _check_finite(stored, enrolled)
    files = _files(run, *(_halved(stored, enrolled, path) if half else (stored, enrolled)))
    try:
        config = RunConfig(
            vczoo=metadata.version("vczoo"),
            plugins=distributions(run.recipe),
            recipe=pinned(run.recipe, run.model, whole=whole).to_plain(),
            base=describe_base(run.model, run.base, in_base),
            base_run=relative_to(path, delta) if delta else None,
            speakers=list(run.speakers),
            voices=list(voices),
            labels=list(run.labels),
            licence=run.licence,
            consent=run.consent,
            attribution=list(run.attribution),
            lineage=list(run.lineage),
            data=Data.model_validate(run.data),
            seed=run.recipe.training.seed,
            tensors=len(stored),
            files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        )
    except ValidationError as error:
        raise RunError(f"the run cannot be saved, because it could not be loaded again:{fault_lines(error)}") from None
    text = config.to_yaml()
    try:
        parse_config(text, CONFIG)
    except VczooError as error:
        raise RunError(f"the run cannot be saved, because it could not be loaded again: {error}") from None
    _write(run, path, files, text.encode(), overwrite)
    return path


def _halved(
    stored: dict[str, Tensor], enrolled: dict[str, Tensor], path: Path
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    try:
        return halved(stored), halved(enrolled)
    except WeightsError as error:
        raise RunError(
            f"{path}: the run cannot be written in half precision: {error}. Save it in full precision"
        ) from error


def _files(run: Run, stored: Mapping[str, Tensor], enrolled: Mapping[str, Tensor]) -> dict[File, bytes]:
    """The contents of all files except the configuration."""
    metrics = (json.dumps(run.metrics, indent=2, ensure_ascii=False) + "\n").encode()
    if len(metrics) > LARGEST_METRICS:
        raise RunError(f"the run cannot be saved: its metrics take more than {LARGEST_METRICS} bytes; leave some out")
    return {
        METRICS: metrics,
        VOICES: _tensor_file(VOICES, enrolled, LARGEST_VOICES),
        MODEL: _tensor_file(MODEL, stored, LARGEST_MODEL),
    }


def _write(run: Run, path: Path, files: Mapping[File, bytes], config: bytes, overwrite: bool) -> None:
    with changing(path):
        try:
            if is_run(path) and not overwrite:
                raise RunError(f"{path}: a run was saved there meanwhile; choose another folder")
            if _was_changed(run, path):
                raise RunError(
                    f"{path}: this run was changed after it was loaded, so saving would undo that. Load it again and "
                    "make the change there, or save to another folder"
                )
            replace_files(path, files, config)
        except OSError as error:
            raise RunError(f"{path}: the run cannot be written ({error}); free some space and save it again") from error
        run.folder, run.revision = path, hashlib.sha256(config).hexdigest()[:REVISION_DIGITS]


def _was_changed(run: Run, path: Path) -> bool:
    """Whether a run was loaded from this folder, and another one is there now."""
    if run.folder is None or not is_run(path) or run.folder.resolve() != path.resolve():
        return False
    return run.revision != sha256_of(path / CONFIG)[:REVISION_DIGITS]


def _check_finite(tensors: Mapping[str, Tensor], enrolled: Mapping[str, Tensor]) -> None:
    """Raise RunError for NaN and infinity in the model or in a voice: the run could not be loaded again."""
    if faulty := [name for name, tensor in tensors.items() if not finite(tensor)]:
        raise RunError(
            f"the run cannot be saved: NaN or infinity in the model's {some_names(faulty)}. The training diverged; "
            "train again with a lower learning rate"
        )
    if faulty := list(dict.fromkeys(key.rpartition("/")[0] for key, value in enrolled.items() if not finite(value))):
        raise RunError(
            f"the run cannot be saved: NaN or infinity in the voice {some_names(faulty)}. Enroll it again, from other "
            "recordings"
        )


def _tensor_file(name: File, tensors: Mapping[str, Tensor], limit: int) -> bytes:
    """The content of a tensor file, if it is not too large to be loaded."""
    size = sum(slot.size_bytes for slot in layout_of(tensors).values())
    advice = "leave voices out, or save several runs" if name == VOICES else "choose a smaller model"
    if size > limit:
        raise RunError(f"the run cannot be saved: {name} would hold {size} bytes of at most {limit}; {advice}")
    content = tensor_bytes(tensors)
    if (header := int.from_bytes(content[:8], "little")) > LARGEST_HEADER:
        raise RunError(
            f"the run cannot be saved: the names in {name} take {header} bytes of at most {LARGEST_HEADER}; {advice}"
        )
    return content
