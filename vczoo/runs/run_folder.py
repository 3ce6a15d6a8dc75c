"""Loading of run folders. `run_writer.py` writes them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from vczoo.errors import RunError, WeightsError
from vczoo.io.files import sha256_of
from vczoo.io.plain_yaml import dump_plain
from vczoo.io.text import bulleted
from vczoo.models.bundled import CONFIG
from vczoo.models.model import Model
from vczoo.models.portability import foreign_faults
from vczoo.runs.base_run import find_base
from vczoo.runs.config import File, RunConfig, read_config, read_config_and_digest
from vczoo.runs.run import REVISION_DIGITS, Delta, Run, is_run
from vczoo.runs.run_files import METRICS, MODEL, VOICES, path_of, read_again, read_metrics
from vczoo.runs.run_model import stored_model, tuned_model
from vczoo.runs.versions import check_distributions
from vczoo.runs.voices_file import read_voices

__all__ = ["config_of", "describe_run", "load_run"]


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
            models[key] = _model_and_delta(config, path, foreign)
            _check_files(config, path, [MODEL])
        model, delta = models[key]
        metrics = read_metrics(path_of(path, METRICS, config.files))
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


def _model_and_delta(config: RunConfig, path: Path, foreign: bool) -> tuple[Model, Delta | None]:
    file = path_of(path, MODEL, config.files)
    if config.base_run is None:
        return stored_model(config, file), None
    folder, reference = find_base(config.base_run, path, foreign=foreign), config.base_run
    if reference.kind == "local":
        reference = reference.model_copy(update={"name": str(folder.resolve())})
    return tuned_model(config, file, load_run(folder), reference)


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
            metrics = read_metrics(path_of(path, METRICS, config.files))
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


def _check_files(config: RunConfig, path: Path, names: Collection[File]) -> None:
    for name in names:
        actual = sha256_of(path_of(path, name, config.files))
        if actual != (expected := config.files.get(name)):
            raise WeightsError(
                f"{name} does not match its checksum in {CONFIG}: SHA-256 {actual}, expected {expected}. The file was "
                "changed or damaged; copy or pull the run again"
            )
