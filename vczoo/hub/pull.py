"""Download of runs from the Hugging Face Hub into the Hub's local cache.

A revision is resolved to a commit once, and every file is read from that commit. Only the files of a run are read from
a repository, and nothing in it is executed, imported or installed. `HF_ENDPOINT` sets the Hub. `HF_HOME`, `HF_TOKEN`
and `HF_HUB_OFFLINE` have the same meaning as for huggingface_hub.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache

from vczoo.errors import HubError, RunError
from vczoo.hub.client import MEGABYTE, RUN_FILES, count_download, evict, fetch_config, fetch_file, list_files, resolve
from vczoo.hub.name import HubName
from vczoo.io.files import PARTIAL, PRIVATE, sha256_of
from vczoo.io.temporary import sweep_partials, temporary_name
from vczoo.io.tensor_file import LARGEST_HEADER, layout_of
from vczoo.io.text import harmless
from vczoo.runs.config import Ancestor
from vczoo.runs.lineage import published_ancestor
from vczoo.runs.run import CONFIG, Run
from vczoo.runs.run_files import LARGEST_METRICS, METRICS, MODEL, VOICES
from vczoo.runs.run_folder import config_of, load_run
from vczoo.runs.run_model import outline_of
from vczoo.runs.voices_file import LARGEST_VOICES

__all__ = ["Pulled", "load_from_hub", "pull"]


@dataclass(frozen=True)
class Pulled:
    """A run from the Hub that is in the local cache.

    Attributes:
        name: The requested name.
        commit: Full commit that its revision was resolved to.
        folder: The folder of the run in the cache.
    """

    name: HubName
    commit: str
    folder: Path

    @property
    def label(self) -> str:
        """The repository and the first 12 hex digits of the commit, `owner/name@commit`."""
        return f"{self.name.repository}@{self.commit[:12]}"


def load_from_hub(text: str) -> Run:
    """Pull a run and load it.

    Args:
        text: Name of the run, `owner/name` or `owner/name@revision`.

    Raises:
        HubError: The run cannot be downloaded, or a file is damaged.
        RunError, PluginError, RecipeError: The run cannot be loaded; see `vczoo.runs.run_folder.load_run`.
    """
    pulled = pull(text)
    try:
        run = load_run(pulled.folder, foreign=True)
    except RunError as error:
        if damaged := _evict_damaged(pulled):
            raise HubError(
                f"{pulled.name}: {', '.join(damaged)} was damaged in the cache and has been removed; load the run again"
            ) from error
        raise
    run.revision = pulled.label
    run.lineage = (_ancestor(pulled), *run.lineage)
    return run


def pull(text: str, out: Path | None = None) -> Pulled:
    """Download a run, unless it is already in the cache, and the run on the Hub that it is stored over, if any.

    A download whose connection breaks goes on where it was. After a process that was ended, the file that it was at
    starts again, and huggingface_hub leaves the beginning of it in its cache.

    Args:
        text: Name of the run, `owner/name` or `owner/name@revision`.
        out: Folder to copy the run to, which must not exist. The run's folder in the cache must not be modified.

    Raises:
        HubError: The run does not exist or is not accessible, the Hub cannot be reached, or a file is missing, too
            large or damaged.
        RunError: `out` exists or cannot be written, or the run's configuration is invalid.
        PluginError: The run needs a plugin that is not installed or does not load.
        RecipeError: The run's recipe cannot be built here.
    """
    name = HubName.parse(text)
    if out is not None and out.exists():
        raise RunError(f"{out} already exists; choose another folder")
    commit = resolve(name)
    pulled = _cached(name, commit) or _download(name, commit)
    base = config_of(pulled.folder, foreign=True).base_run
    if base and base.kind == "hub":
        base_name = HubName.parse(f"{base.name}@{base.revision}")
        if not _cached(base_name, base.revision):
            _download(base_name, base.revision)
    if out is not None:
        _copy(pulled, out)
    return pulled


def _ancestor(pulled: Pulled) -> Ancestor:
    config = config_of(pulled.folder, foreign=True)
    return published_ancestor(pulled.name.repository, pulled.commit, pulled.folder, config)


def _cached(name: HubName, commit: str) -> Pulled | None:
    """Return the run if all its files are in the cache. They were checked when they were downloaded."""
    paths = [try_to_load_from_cache(name.repository, file, revision=commit) for file in RUN_FILES]
    if not all(isinstance(path, str) for path in paths):
        return None
    return Pulled(name, commit, Path(str(paths[0])).parent)


def _download(name: HubName, commit: str) -> Pulled:
    listing = list_files(name, commit)
    folder, config = fetch_config(name, commit, listing)
    if missing := [file for file in (MODEL, VOICES, METRICS) if file not in listing]:
        raise HubError(f"{name} is incomplete: {', '.join(missing)} missing from the repository")
    slots = layout_of(outline_of(config).tensors()).values()
    largest = {
        MODEL: sum(slot.size_bytes for slot in slots) + LARGEST_HEADER,
        VOICES: LARGEST_VOICES,
        METRICS: LARGEST_METRICS,
    }
    total = sum(listing[file].size for file in largest)
    sys.stderr.write(
        f"{harmless(str(name))}: {total / MEGABYTE:.1f} MB from {constants.ENDPOINT}, commit {commit[:12]}\n"
    )
    for file, limit in largest.items():
        fetch_file(name, commit, listing[file], limit, sha256=config.files.get(file, ""))
    count_download(name, commit)
    return Pulled(name, commit, folder)


def _evict_damaged(pulled: Pulled) -> list[str]:
    """Remove files from the cache that do not match their checksums in the configuration, and return their names."""
    config = config_of(pulled.folder, foreign=True)
    expected = {pulled.folder / file: digest for file, digest in config.files.items()}
    damaged = [path for path, digest in expected.items() if sha256_of(path) != digest]
    for path in damaged:
        evict(path)
    return [path.name for path in damaged]


def _copy(pulled: Pulled, out: Path) -> None:
    """Copy a run out of the cache, completely or not at all. The copy records where it is from, in its lineage."""
    config = config_of(pulled.folder, foreign=True)
    config = config.model_copy(update={"lineage": [_ancestor(pulled), *config.lineage]})
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep_partials(out.parent)
        temporary = out.parent / (temporary_name(f".{out.name[:40]}") + PARTIAL)
        temporary.mkdir(mode=0o700)
        try:
            for file in (MODEL, VOICES, METRICS):
                shutil.copyfile(pulled.folder / file, temporary / file)
            (temporary / CONFIG).write_text(config.to_yaml(), encoding="utf-8")
            for copy in temporary.iterdir():
                copy.chmod(PRIVATE)
            temporary.rename(out)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise RunError(f"{out}: cannot be written ({error}); no files were left there") from error
