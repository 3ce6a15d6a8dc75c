"""The run folder: a trained model and its voices in, a folder of YAML and safetensors out, and back, strictly.

vczoo.yaml           the resolved recipe, speakers, versions, and what the pretrained base must be
model.safetensors    the heads, every stage that differs from the base, and a vocoder from a file or from scratch
voices.safetensors   <voice>/<head>.<tensor>
metrics.json         figures of the fine-tune
metrics.jsonl        the same, epoch by epoch
curves.png           a picture of them, where matplotlib is
logs/                of TensorBoard, if it was asked for
manifest.jsonl       the recordings it was trained on, with their splits; it stays on the machine
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

from vczoo.assembly import build, keeps_vocoder
from vczoo.errors import RunError, WeightsError
from vczoo.files import write_bytes, write_text
from vczoo.interfaces import Voice
from vczoo.model import Model
from vczoo.plain import dump_plain, parse_plain
from vczoo.provenance import distributions
from vczoo.recipe import Recipe
from vczoo.weights import fingerprint, load_strictly, read_tensors

__all__ = ["CONFIG", "MANIFEST", "METRICS", "Run", "describe_run", "is_run", "load_run", "save_run", "write_tensors"]

FORMAT = 1
CONFIG, MODEL, VOICES = "vczoo.yaml", "model.safetensors", "voices.safetensors"
METRICS, MANIFEST = "metrics.json", "manifest.jsonl"
_FIELDS = {"format", "vczoo", "plugins", "recipe", "speakers", "voices", "base", "data", "seed"}


@dataclass
class Run:
    """A model with what belongs to it.

    Attributes:
        recipe: that it was built from.
        model: the parts.
        speakers: of the training data, in the order of the logits.
        voices: targets of conversion, by name.
        metrics: figures of the fine-tune.
        data: what is kept of the training data: `fingerprint`, and `minutes` by speaker.
        label: what a converted file calls it by.
    """

    recipe: Recipe
    model: Model
    speakers: tuple[str, ...]
    voices: dict[str, Voice]
    metrics: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    label: str = ""


def is_run(path: Path) -> bool:
    """Whether a folder holds a finished run."""
    return (path / CONFIG).is_file()


def save_run(run: Run, path: Path) -> Path:
    """Write a run into a folder; each file appears whole, `vczoo.yaml` last: without it there is no run.

    Raises:
        RunError: the disk refuses; files of a run that was there before stay readable.
    """
    same = {stage.name for stage in _unchanged(run.model)}
    stored = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in _tensors(run.model, keeps_vocoder(run.recipe)).items()
        if not (name.startswith("backbone.") and name.split(".")[1] in same)
    }
    voices = {
        f"{voice.name}/{key}": tensor
        for voice in run.voices.values()
        for key, tensor in voice.tensors.items()
        if key != "pitch" or bool(tensor.isfinite().all())  # of whispers alone it is NaN, which no file holds
    }
    config = {
        "format": FORMAT,
        "vczoo": metadata.version("vczoo"),
        "plugins": distributions(run.recipe),
        "recipe": run.recipe.to_plain(),
        "speakers": list(run.speakers),
        "voices": list(run.voices),
        "base": {name: digest for name, digest in run.model.base.items() if name in same},
        "data": run.data,
        "seed": run.recipe.training.seed,
    }
    try:
        write_tensors(path / MODEL, stored)
        write_tensors(path / VOICES, voices)
        write_text(path / METRICS, json.dumps(run.metrics, indent=2, ensure_ascii=False) + "\n")
        write_text(path / CONFIG, dump_plain(config))
    except OSError as error:
        raise RunError(f"{path}: the run cannot be written ({error}); free some space and save it again") from error
    return path


def load_run(path: Path) -> Run:
    """Read a run folder; every tensor of the model is accounted for.

    Raises:
        RunError: a file is missing or damaged, was written by a newer vczoo, or has unknown fields; a tensor is
            missing, not expected or of the wrong shape; the base is not what it was.
        RecipeError, WeightsError: the recipe cannot be built here.
    """
    if not is_run(path):
        raise RunError(
            f"{path}: no run is here ({CONFIG} is missing). A run is what `vczoo train RECIPE --data … --out {path}` "
            "makes; an interrupted one continues with --resume"
        )
    config = _read_config(path)
    recipe = Recipe.parse(config["recipe"])
    speakers = tuple(config["speakers"])
    base = dict(config["base"])
    with torch.random.fork_rng(devices=[]):
        stored = [*([] if base else ["backbone"]), *(["vocoder"] if keeps_vocoder(recipe) else [])]
        model = build(recipe, max(1, len(speakers)), random=stored)
    try:
        tensors = read_tensors(path / MODEL)
        _check_base(model, base)
        own = {stage.name: stage.module for stage in model.backbone.stages() if stage.name not in base}
        parts: dict[str, nn.Module] = {"backbone": nn.ModuleDict(own), "heads": model.heads}
        if model.vocoder and "vocoder" in stored:
            parts["vocoder"] = model.vocoder
        load_strictly(nn.ModuleDict(parts), tensors, where=str(path / MODEL))
        metrics = json.loads((path / METRICS).read_text(encoding="utf-8")) if (path / METRICS).is_file() else {}
        voices = _read_voices(path, config["voices"], model)
    except WeightsError as error:
        raise RunError(f"{path}: this run cannot be loaded: {error}") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: a file of this run is damaged ({error}); copy or pull it again") from error
    return Run(recipe, model.eval(), speakers, voices, metrics, dict(config["data"]))


def describe_run(path: Path) -> str:
    """A run's configuration and figures as YAML, without building its model.

    Raises:
        RunError: as `load_run`, as far as these files go.
    """
    if not is_run(path):
        raise RunError(f"{path}: no run is here ({CONFIG} is missing)")
    config = _read_config(path)
    try:
        metrics = json.loads((path / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path / METRICS}: cannot be read ({error})") from error
    return dump_plain({**config, "metrics": metrics})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file in one step.

    Raises:
        OSError: the disk refuses; what was there stays.
    """
    try:
        write_bytes(path, save(dict(tensors), metadata=dict(notes or {})))
    except SafetensorError as error:
        raise OSError(str(error)) from error


def _read_config(path: Path) -> dict[str, Any]:
    where = str(path / CONFIG)
    try:
        config = parse_plain((path / CONFIG).read_text(encoding="utf-8"), where)
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{where}: cannot be read ({error})") from error
    if config.get("format") != FORMAT:
        raise RunError(
            f"{where}: format {config.get('format')!r}, this vczoo reads {FORMAT}; "
            "upgrade with pip install -U vczoo, or train the run again"
        )
    if set(config) != _FIELDS:
        missing, extra = sorted(_FIELDS - set(config)), sorted(set(config) - _FIELDS)
        raise RunError(f"{where}: fields missing: {missing or 'none'}; not expected: {extra or 'none'}")
    kinds = {"recipe": dict, "speakers": list, "voices": list, "base": dict, "data": dict}
    for name, kind in kinds.items():
        if not isinstance(config[name], kind):
            raise RunError(f"{where}: {name} is a {type(config[name]).__name__}, expected a {kind.__name__}")
    for name in ("speakers", "voices"):
        if not all(isinstance(item, str) for item in config[name]) or len(set(config[name])) < len(config[name]):
            raise RunError(f"{where}: {name} must be different names")
    return config


def _read_voices(path: Path, names: list[str], model: Model) -> dict[str, Voice]:
    tensors = read_tensors(path / VOICES)
    voices: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    for key, tensor in tensors.items():
        name, _, tensor_name = key.rpartition("/")
        if name not in voices:
            raise WeightsError(f"{path / VOICES}: tensor {key!r} belongs to no voice in {CONFIG}")
        voices[name][tensor_name] = tensor
    expected: dict[str, tuple[int, ...]] = {
        f"{name}.embedding": (head.embedding_width,) for name, head in model.speaker_heads.items()
    }
    expected |= {"pitch": (1,)} if model.voice_heads else {}
    for name, kept in voices.items():
        if model.voice_heads:
            kept.setdefault("pitch", torch.full((1,), torch.nan))
        faults = [f"missing {key}" for key in expected if key not in kept]
        faults += [
            f"{key} has shape {tuple(tensor.shape)}, expected {expected[key]}"
            for key, tensor in kept.items()
            if key in expected and tuple(tensor.shape) != expected[key]
        ]
        faults += [
            f"{key} is not expected"
            for key in kept
            if key not in expected and key.partition(".")[0] not in model.voice_heads
        ]
        if faults:
            raise WeightsError(f"{path / VOICES}, voice {name!r}: " + "; ".join(faults[:8]))
    return {name: Voice(name, tensors) for name, tensors in voices.items()}


def _check_base(model: Model, base: Mapping[str, str]) -> None:
    if unknown := sorted(set(base) - set(model.base)):
        raise WeightsError(f"{CONFIG} takes stages {', '.join(unknown)} from the base, which has no such stages")
    changed = [name for name, digest in base.items() if model.base[name] != digest]
    if changed:
        raise WeightsError(
            f"the pretrained weights are not those it was trained from: stages {', '.join(changed)} differ. "
            "Give the file or the revision that it was trained with"
        )


def _unchanged(model: Model) -> list[Any]:
    stages = model.backbone.stages()
    return [stage for stage in stages if model.base.get(stage.name) == fingerprint(stage.module.state_dict())]


def _tensors(model: Model, vocoder: bool) -> dict[str, Tensor]:
    """The model's tensors as they are stored: backbone.<stage>.<name>, heads.<head>.<name> and vocoder.<name>."""
    named = {
        f"backbone.{stage.name}.{name}": tensor
        for stage in model.backbone.stages()
        for name, tensor in stage.module.state_dict().items()
    }
    named |= {f"heads.{name}": tensor for name, tensor in model.heads.state_dict().items()}
    own = model.vocoder.state_dict() if model.vocoder and vocoder else {}
    return named | {f"vocoder.{name}": tensor for name, tensor in own.items()}
