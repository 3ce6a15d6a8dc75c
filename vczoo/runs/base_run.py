"""Base runs of small tuned runs: the reference to one, where it is, and the check that it is the same one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vczoo.errors import RunError
from vczoo.io.files import sha256_of
from vczoo.io.install_advice import pip_install
from vczoo.io.tensors import digest
from vczoo.models.bundled import embedded_names, embedded_runs, is_bundled
from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.runs.config import BaseRun, read_config
from vczoo.runs.lineage import hub_label
from vczoo.runs.run import CONFIG, Delta, Run, is_run
from vczoo.runs.run_files import MODEL, path_of

__all__ = ["ORIGINAL", "changed_tensors", "find_base", "reference_to", "relative_to", "same_parts"]

ORIGINAL = ".parametrizations.weight.original"  # in the name of a weight that a change applies to


def reference_to(run: Run) -> BaseRun | None:
    """Return the reference by which other runs name a loaded run; None if it is only in memory."""
    if run.folder is None:
        return None
    config = read_config(run.folder / CONFIG)
    sha256 = config.files[MODEL]
    if run.lineage and run.lineage[0].kind == "hub" and run.revision == hub_label(run.lineage[0]):
        return BaseRun(kind="hub", name=run.lineage[0].name, revision=run.lineage[0].revision, sha256=sha256)
    if is_bundled(run.folder):
        return BaseRun(kind="bundled", name=run.folder.name, revision=config.vczoo, sha256=sha256)
    return BaseRun(kind="local", name=str(run.folder.resolve()), sha256=sha256)


def same_parts(recipe: Recipe, other: Recipe) -> bool:
    """Whether backbone, heads and vocoder are the same, so that the tensors of one model fit the other."""
    return (recipe.backbone, recipe.heads, recipe.vocoder) == (other.backbone, other.heads, other.vocoder)


def changed_tensors(tensors: Mapping[str, Tensor], base: Model) -> dict[str, Tensor]:
    """Return the tensors of a tuned model that the model of its base run does not have, bit by bit.

    Args:
        tensors: The tensors of the tuned model, before changes of weights were merged into them.
        base: The model of the base run.
    """
    old = base.tensors()

    def is_new(name: str, tensor: Tensor) -> bool:
        other = old.get(name.replace(ORIGINAL, ".weight"))
        return other is None or other.shape != tensor.shape or digest(other) != digest(tensor)

    return {name: tensor for name, tensor in tensors.items() if is_new(name, tensor)}


def relative_to(path: Path, delta: Delta) -> BaseRun:
    """Return the reference to the base run of a delta as it is saved in the folder `path`."""
    base = delta.base
    if base.kind != "local":
        return base
    return base.model_copy(update={"name": Path(os.path.relpath(base.name, path.resolve())).as_posix()})


def find_base(base: BaseRun, path: Path, *, foreign: bool = False) -> Path:
    """Find the folder of a base run, and check that it is the one that the run was tuned from.

    Args:
        base: The reference, as saved.
        path: The folder of the run that needs it.
        foreign: Whether somebody else made that run. It may then not name a folder of this machine.

    Raises:
        RunError: The base is not here, or it is another one. The message says what to install or to pull.
    """
    folder, advice = _folder_and_advice(base, path, foreign)
    if folder is None or not is_run(folder):
        raise RunError(f"{path}: this run holds only what tuning changed; its base, {base}, is not here. {advice}")
    file = path_of(folder, MODEL, {MODEL: base.sha256})
    if not file.is_file() or sha256_of(file) != base.sha256:
        raise RunError(
            f"{path}: this run was tuned from {base} with other weights (SHA-256 {base.sha256[:12]}…) than those in "
            f"{folder}. {advice}"
        )
    if read_config(folder / CONFIG).base_run:  # a chain of them could be endless
        raise RunError(f"{path}: its base, {base}, holds only what tuning changed, and so cannot be a base")
    return folder


def _folder_and_advice(base: BaseRun, path: Path, foreign: bool) -> tuple[Path | None, str]:
    """The folder where a base would be, and what to do if it is not there or is another one."""
    if base.kind == "bundled":
        folder = embedded_runs() / base.name if base.name in embedded_names() else None
        return folder, f"Install the version of vczoo that it is part of: `{pip_install(f'vczoo=={base.revision}')}`"
    if base.kind == "hub":
        return _cached(base), f"Pull it: `vczoo pull {base.name}@{base.revision}`"
    if foreign:
        raise RunError(
            f"{path}: this run names a folder of the machine that it was made on as its base; ask its author to push "
            "the base first, or the run as a whole"
        )
    return path / base.name, "Copy it back there as it was, or train the run again"


def _cached(base: BaseRun) -> Path | None:
    """The folder of a run from the Hub in the Hub's local cache."""
    from huggingface_hub import try_to_load_from_cache  # imported here, since it takes long

    file = try_to_load_from_cache(base.name, CONFIG, revision=base.revision)
    return Path(file).parent if isinstance(file, str) else None
