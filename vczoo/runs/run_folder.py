"""Saving and loading of run folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from vczoo.errors import RunError, VczooError, WeightsError
from vczoo.io.files import open_file, sha256_of
from vczoo.io.plain_yaml import dump_plain
from vczoo.io.tensor_file import LARGEST_HEADER, halved, layout_faults, layout_of, read_layout, some_names, tensor_bytes
from vczoo.io.tensors import digest, finite, put_tensors, read_tensors
from vczoo.io.text import bulleted
from vczoo.models.build import UNKNOWN, build, build_freezing, pretrained_places
from vczoo.models.bundled import CONFIG
from vczoo.models.meta_init import init_on_meta, meta_tensors
from vczoo.models.model import Model, stage_of
from vczoo.models.portability import foreign_faults, pinned
from vczoo.runs.base_run import ORIGINAL, find_base, relative_to, same_parts
from vczoo.runs.config import Data, File, RunConfig, fault_lines, parse_config, read_config, read_config_and_digest
from vczoo.runs.pretrained_base import PLACES, check_base, describe_base, stages_taken
from vczoo.runs.run import Delta, Run, is_run, own_voices
from vczoo.runs.run_files import METRICS, MODEL, VOICES, path_of, read_again, replace_files
from vczoo.runs.turn import changing
from vczoo.runs.versions import check_distributions, distributions
from vczoo.runs.voices_file import LARGEST_VOICES, read_voices, voice_tensors

__all__ = [
    "LARGEST_METRICS",
    "build_on_base",
    "config_of",
    "describe_run",
    "fill_model",
    "load_run",
    "outline_of",
    "save_run",
]

LARGEST_METRICS = 16_000_000  # bytes
LARGEST_MODEL = 2**35  # bytes; twice the size of the largest model in the zoo
REVISION_DIGITS = 12


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
    if half:
        try:
            stored, enrolled = halved(stored), halved(enrolled)
        except WeightsError as error:
            raise RunError(
                f"{path}: the run cannot be written in half precision: {error}. Save it in full precision"
            ) from error
    files: dict[File, bytes] = {
        METRICS: (json.dumps(run.metrics, indent=2, ensure_ascii=False) + "\n").encode(),
        VOICES: _tensor_file(VOICES, enrolled, LARGEST_VOICES),
        MODEL: _tensor_file(MODEL, stored, LARGEST_MODEL),
    }
    if len(files[METRICS]) > LARGEST_METRICS:
        raise RunError(f"the run cannot be saved: its metrics take more than {LARGEST_METRICS} bytes; leave some out")
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


def load_run(path: Path, *, foreign: bool = False) -> Run:
    """Load a run from its folder.

    Loading is strict: every tensor of the model must come from the run or its base, and names, types and shapes are
    checked before any tensor is read. If another process saves the run meanwhile, it is the old or the new one, whole.

    Args:
        path: Folder of the run.
        foreign: Whether somebody else made the run. Its recipe may then not name files of this machine.

    Returns:
        The run, with its model in evaluation mode.

    Raises:
        RunError: A file is missing, damaged, of another format version or has unknown fields; a tensor is missing,
            unexpected or of the wrong shape; or the pretrained base is missing or differs from the original one.
        PluginError: The recipe needs a plugin that is not installed or does not load.
        RecipeError: The recipe cannot be built here.
    """
    models: dict[str, tuple[Model, Delta | None]] = {}  # so that a second try has to read only what enrolling changes
    return read_again(path, lambda: _load(path, foreign, models))


def _load(path: Path, foreign: bool, models: dict[str, tuple[Model, Delta | None]]) -> Run:
    config, sha256 = _config_and_digest(path, foreign)
    key = config.model_dump_json(include={"recipe", "base", "base_run", "speakers", "labels", "tensors"}) + str(
        config.files.get(MODEL)
    )
    try:
        if key not in models:
            model, delta = (
                _tuned_model_of(config, path, foreign) if config.base_run else (_model_of(config, path), None)
            )
            _check_files(config, path, [MODEL])
            models[key] = model, delta
        model, delta = models[key]
        metrics = _read_metrics(path_of(path, METRICS, config.files))
        voices = read_voices(path_of(path, VOICES, config.files), config.voices, model)
        _check_files(config, path, [VOICES, METRICS])
    except WeightsError as error:
        raise RunError(f"{path}: this run cannot be loaded: {error}") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: a file of this run is damaged ({error}); copy or pull it again") from error
    return Run(
        config.parsed_recipe,
        model,
        tuple(config.speakers),
        voices,
        metrics,
        config.data.model_dump(),
        config.licence,
        config.consent,
        dict(config.base),
        path,
        sha256[:REVISION_DIGITS],
        tuple(config.labels),
        tuple(config.attribution),
        tuple(config.lineage),
        delta,
    )


def config_of(path: Path, *, foreign: bool = False) -> RunConfig:
    """Read a run's configuration, and check as far as possible without weights that its recipe can be built here.

    Args:
        path: Folder of the run.
        foreign: Whether somebody else made the run. Its recipe may then not name files of this machine.

    Raises:
        RunError, PluginError, RecipeError: As in `load_run`.
    """
    return _config_and_digest(path, foreign)[0]


def _config_and_digest(path: Path, foreign: bool) -> tuple[RunConfig, str]:
    if not is_run(path):
        _check_folder(path)
        raise RunError(
            f"{path}: no run is here ({CONFIG} is missing). Create one with `vczoo train RECIPE --data … --out "
            f"{path}`, or continue an interrupted training with --resume"
        )
    config, sha256 = read_config_and_digest(path / CONFIG)
    check_distributions(config.plugins)
    recipe = config.parsed_recipe
    if foreign and (faults := foreign_faults(recipe)):
        raise RunError(bulleted(f"{path / CONFIG}: this recipe cannot be loaded from somebody else's run", faults))
    return config, sha256


def outline_of(config: RunConfig) -> Model:
    """Build a run's model on PyTorch's meta device: names, types and shapes without values.

    Raises:
        RecipeError: The recipe cannot be built here.
        WeightsError: The tensors are larger than `LARGEST_MODEL`.
    """
    return _build(config, PLACES)


def build_on_base(config: RunConfig) -> Model:
    """Build a run's model with the weights of its pretrained base; all other tensors are on the meta device.

    Raises:
        RecipeError: The recipe cannot be built here.
        WeightsError: The pretrained weights are unavailable or do not fit, or the tensors are larger than
            `LARGEST_MODEL`.
    """
    taken = stages_taken(config.base)
    based = [place for place in PLACES if place in config.base and config.base[place].stages]
    random = [place for place in PLACES if place not in based]
    if unbased := set(based) - set(pretrained_places(config.parsed_recipe)):
        raise WeightsError(
            f"the run takes tensors from the pretrained base of its {' and '.join(unbased)}, but the recipe names no "
            "pretrained weights there"
        )
    model = _build(config, random, taken)
    if taken and any(tensor.is_meta and stage_of(name) in taken for name, tensor in model.tensors().items()):
        model = _build(config, random, taken, outline=False)  # a plugin's own loader may not support meta tensors
    return model


def describe_run(path: Path) -> str:
    """Return a run's configuration and metrics as YAML, without building its model.

    Raises:
        RunError: vczoo.yaml or metrics.json is missing, damaged or invalid.
    """
    if not is_run(path):
        _check_folder(path)
        raise RunError(f"{path}: no run is here ({CONFIG} is missing)")

    def describe() -> str:
        config = read_config(path / CONFIG)
        try:
            metrics = _read_metrics(path_of(path, METRICS, config.files))
        except (OSError, ValueError) as error:
            raise RunError(f"{path / METRICS}: cannot be read ({error})") from error
        return dump_plain({**config.model_dump(), "metrics": metrics})

    return read_again(path, describe)


def _check_folder(path: Path) -> None:
    """Raise RunError unless `path` is a folder."""
    if not path.exists():
        raise RunError(f"{path}: no such folder; check the path (it is relative to {Path.cwd()})")
    if not path.is_dir():
        raise RunError(f"{path} is a file; a run is a folder that contains {CONFIG}")


def _model_of(config: RunConfig, path: Path) -> Model:
    """Build the model on its base, then load the tensors that the run stores."""
    model, taken, file = build_on_base(config), stages_taken(config.base), path_of(path, MODEL, config.files)
    slots, layout = layout_of(model.tensors()), read_layout(file)
    optional = [name for name in slots if stage_of(name) in taken]
    if faults := layout_faults(layout, slots, optional, halved=True):
        raise WeightsError(f"{file} does not fit: " + "; ".join(faults) + ". Is it from another model?")
    if len(layout) != config.tensors:
        raise WeightsError(f"{file} holds {len(layout)} tensors, but {CONFIG} says {config.tensors}")
    check_base(config.base, model)
    fill_model(model, read_tensors(file, layout))
    if unset := meta_tensors(model):
        raise WeightsError(
            f"neither the run nor its base has values for {some_names(unset)}; report this to the author of the plugin"
        )
    return model.eval()


def _tuned_model_of(config: RunConfig, path: Path, foreign: bool) -> tuple[Model, Delta]:
    """Load the base run of a small tuned run, and change its model as the tuning did."""
    assert config.base_run is not None
    folder = find_base(config.base_run, path, foreign=foreign)
    base, recipe, file = load_run(folder), config.parsed_recipe, path_of(path, MODEL, config.files)
    if not same_parts(recipe, base.recipe):
        raise WeightsError(f"its parts differ from those of its base, {config.base_run}")
    model, freezing = base.model, build_freezing(recipe)
    known = {name: tensor.shape for name, tensor in model.tensors().items()}
    with torch.random.fork_rng(devices=[]):
        for head in model.speaker_heads.values():
            head.restart(max(1, len(config.speakers)))
        for label_head in model.label_heads.values():
            label_head.relabel(tuple(config.labels) or UNKNOWN)
        freezing.prepare(model)
    slots, layout = layout_of(model.tensors()), read_layout(file)
    optional = [name for name, slot in slots.items() if known.get(name.replace(ORIGINAL, ".weight")) == slot.shape]
    if faults := layout_faults(layout, slots, optional, halved=True):
        raise WeightsError(f"{file} does not fit: " + "; ".join(faults) + ". Is it from another model?")
    if len(layout) != config.tensors:
        raise WeightsError(f"{file} holds {len(layout)} tensors, but {CONFIG} says {config.tensors}")
    tensors = {name: value.to(slots[name].dtype) for name, value in read_tensors(file, layout).items()}
    fill_model(model, tensors)
    freezing.finish(model)
    reference = config.base_run
    if reference.kind == "local":
        reference = reference.model_copy(update={"name": str(folder.resolve())})
    return model.eval(), Delta(reference, tensors)


def _build(config: RunConfig, random: Collection[str], stages: Collection[str] = (), *, outline: bool = True) -> Model:
    with torch.random.fork_rng(devices=[]), init_on_meta() if outline else nullcontext():
        speakers = max(1, len(config.speakers))
        model = build(config.parsed_recipe, speakers, config.labels, random=random, stages=stages)
        build_freezing(config.parsed_recipe).insert_lasting(model)
    if (size := sum(slot.size_bytes for slot in layout_of(model.tensors()).values())) > LARGEST_MODEL:
        raise WeightsError(f"its tensors take {size >> 30} GiB; vczoo loads at most {LARGEST_MODEL >> 30} GiB")
    return model


def fill_model(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a model by their names in `Model.tensors`. The caller has checked that they fit."""
    parts: dict[str, nn.Module] = {
        "backbone": nn.ModuleDict({stage.name: stage.module for stage in model.backbone.stages()}),
        "heads": model.heads,
    }
    if model.vocoder:
        parts["vocoder"] = model.vocoder
    put_tensors(nn.ModuleDict(parts), tensors)


def _check_files(config: RunConfig, path: Path, names: Collection[File]) -> None:
    for name in names:
        actual = sha256_of(path_of(path, name, config.files))
        if actual != (expected := config.files.get(name)):
            raise WeightsError(
                f"{name} does not match its checksum in {CONFIG}: SHA-256 {actual}, expected {expected}. The file was "
                "changed or damaged; copy or pull the run again"
            )


def _read_metrics(path: Path) -> dict[str, Any]:
    with open_file(path) as file:
        content = file.read(LARGEST_METRICS + 1)
    if len(content) > LARGEST_METRICS:
        raise ValueError(f"{METRICS} is larger than {LARGEST_METRICS} bytes")
    try:
        metrics = json.loads(content.decode())
    except RecursionError:
        raise ValueError(f"{METRICS} is too deeply nested") from None
    if not isinstance(metrics, dict):
        raise ValueError(f"{METRICS} contains a {type(metrics).__name__}, expected a mapping")
    return metrics
