"""Means of the weights of runs that began with the same weights: model soups, and WiSE-FT."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vczoo.conversion.converter import Converter
from vczoo.conversion.name import read_name
from vczoo.conversion.run_by_name import read_run
from vczoo.errors import RunError, VczooError
from vczoo.io.files import sha256_of
from vczoo.io.tensor_file import layout_of, some_names
from vczoo.io.text import bulleted
from vczoo.models.bundled import embedded_names, embedded_runs
from vczoo.modules.interfaces.heads import Voice
from vczoo.runs.base_run import same_parts
from vczoo.runs.lineage import lineage_from
from vczoo.runs.run import CONFIG, Run, is_run
from vczoo.runs.run_folder import load_run
from vczoo.runs.run_model import fill_model
from vczoo.runs.run_writer import save_run

__all__ = ["average"]


def average(
    runs: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], alpha: float | None = None
) -> Converter:
    """Average the weights of runs that began with the same weights, and save the result as a run.

    Several fine-tunes of one start make a soup (arXiv:2203.05482). A start and its fine-tune, with `alpha`, make
    WiSE-FT (arXiv:2109.01903): what the start can do on other speech is kept, at little cost of what tuning gained.

    The result has the recipe of the last run and the voices of all; a voice that several have is averaged, too. Where
    two runs know different speakers, the last one's speaker heads keep their own logits.

    Args:
        runs: Two or more runs: folders (`./runs/a`), names on the Hub, or the name of a bundled run, such as `base`.
        out: The folder to create. Every tensor is stored in it.
        alpha: Share of the second of two runs, 0 to 1; the first has the rest. None gives all runs the same share.

    Returns:
        The averaged model.

    Raises:
        VczooError: There are fewer than two runs, alpha is outside 0 to 1, or there are not exactly two runs for it.
        RunError: `out` exists or cannot be written; or the runs have different parts, shapes or starts.
        HubError, PluginError, RecipeError, UnknownNameError: A run cannot be read.
    """
    path = Path(out)
    if path.exists():
        raise RunError(f"{path} exists; choose another folder")
    shares = _shares(len(runs), alpha)
    loaded = [_read(run) for run in runs]
    names = [os.fspath(run) for run in runs]
    last = loaded[-1]
    _check_alike(loaded, names)
    tensors = [run.model.tensors() for run in loaded]
    fill_model(last.model, {name: _mean([each[name] for each in tensors], shares) for name in _common(tensors)})
    mean = replace(
        last,
        voices=_voices(loaded, shares),
        metrics={"average": dict(zip(_labels(names), shares, strict=True))},
        lineage=lineage_from(last),
        folder=None,
        revision="",
        delta=None,
    )
    save_run(mean, path, whole=True)
    return Converter(load_run(path))


def _shares(count: int, alpha: float | None) -> list[float]:
    if count < 2:
        raise VczooError(
            f"an average takes two or more runs, got {count}; name the start and its fine-tune, or several"
        )
    if alpha is None:
        return [1 / count] * count
    if not 0 <= alpha <= 1:
        raise VczooError(f"alpha must be 0 to 1, got {alpha:g}: it is the share of the second run")
    if count != 2:
        raise VczooError(f"alpha is for two runs, a start and its fine-tune, but there are {count}; leave it out")
    return [1 - alpha, alpha]


def _read(name: str | os.PathLike[str]) -> Run:
    text = os.fspath(name)
    if text in embedded_names():
        return load_run(embedded_runs() / text)
    run = read_run(*read_name(name))
    if run is None:
        raise VczooError(
            f"{text} is a recipe; name runs, as ./runs/alice, or a bundled run: {', '.join(embedded_names())}"
        )
    return run


def _check_alike(runs: Sequence[Run], names: Sequence[str]) -> None:
    """Check that all runs have the parts and shapes of the last one, and began with the same weights."""
    last, faults = runs[-1], []
    for run, name in zip(runs[:-1], names, strict=False):
        if not same_parts(run.recipe, last.recipe):
            faults.append(f"{name} has other parts than {names[-1]}")
        elif misfits := _misfits(run, last):
            faults.append(f"{name} and {names[-1]} have different tensors: {some_names(misfits)}")
    if not faults and not set.intersection(*map(_origins, runs)):
        faults.append("they did not begin with the same run, so their mean is of no use")
    if faults:
        advice = "Average fine-tunes of one run that have the same recipe but for its training"
        raise RunError(f"{bulleted('these runs have no average', faults)}\n{advice}")


def _misfits(run: Run, last: Run) -> list[str]:
    """The tensors that only one of two models has, or with other shapes, but for the logits of other speakers."""
    ours, theirs = run.model.tensors(), last.model.tensors()
    logits = tuple(f"heads.{name}." for name in last.model.speaker_heads)
    return [
        name
        for name in sorted({*ours, *theirs})
        if name not in ours
        or name not in theirs
        or (ours[name].shape != theirs[name].shape and not (logits and name.startswith(logits)))
    ]


def _origins(run: Run) -> set[str]:
    """The SHA-256 of the configurations of a run and of the runs that it was made from."""
    own = {sha256_of(run.folder / CONFIG)} if run.folder and is_run(run.folder) else set()
    return own | {ancestor.sha256 for ancestor in run.lineage if ancestor.sha256}


def _common(tensors: Sequence[Mapping[str, Tensor]]) -> list[str]:
    """The names of the tensors that have the same shape in all models, and are averaged."""
    last = tensors[-1]
    return [name for name in last if all(each[name].shape == last[name].shape for each in tensors)]


def _mean(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """The weighted mean; the last value for integers, such as BatchNorm's counters."""
    if not values[-1].is_floating_point():
        return values[-1]
    if len(shares) == 2:  # exactly one of the two at 0 and at 1
        return torch.lerp(values[0], values[1], shares[1])
    return torch.stack([share * value for value, share in zip(values, shares, strict=True)]).sum(dim=0)


def _voices(runs: Sequence[Run], shares: Sequence[float]) -> dict[str, Voice]:
    """The voices of all runs; those with the same name and shapes are averaged, of others the last is taken."""
    voices: dict[str, Voice] = {}
    for name in dict.fromkeys(name for run in runs for name in run.voices):
        owners = [(run.voices[name], share) for run, share in zip(runs, shares, strict=True) if name in run.voices]
        voice, total = owners[-1][0], sum(share for _, share in owners)
        alike = all(layout_of(one.tensors) == layout_of(voice.tensors) for one, _ in owners)
        if len(owners) > 1 and alike and total:
            means = {
                key: _mean([one.tensors[key] for one, _ in owners], [share / total for _, share in owners])
                for key in voice.tensors
            }
            voice = replace(voice, tensors=means)
        voices[name] = voice
    return voices


def _labels(names: Sequence[str]) -> list[str]:
    """The names of the runs without their folders, which are nobody's business; different ones."""
    return [f"{number}: {Path(name).name}" for number, name in enumerate(names, 1)]
