"""Speakers on the Hugging Face Hub: `owner/name@revision` in, a run's folder in the Hub's cache out.

A revision is resolved once, to a commit, and every file is read from that commit. Of a repository only the files of a
run are read, by the names that vczoo gives them; nothing in it is executed, imported or installed. `HF_ENDPOINT` names
the Hub, and `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean to huggingface_hub.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache

from vczoo.errors import HubError, RunError
from vczoo.hub.client import MEGABYTE, RUN_FILES, evict, fetch_config, fetch_file, list_files, resolve, sha256_of
from vczoo.hub.name import HubName
from vczoo.io.tensor_file import LARGEST_HEADER, layout_of
from vczoo.runs.run import METRICS, MODEL, VOICES, Run
from vczoo.runs.run_folder import LARGEST_METRICS, config_of, load_run, outline_of
from vczoo.runs.voices_file import LARGEST_VOICES

__all__ = ["Pulled", "load_from_hub", "pull"]


@dataclass(frozen=True)
class Pulled:
    """A speaker that is in the cache.

    Attributes:
        name: as it was asked for.
        commit: that the revision was resolved to.
        folder: with the run's files.
    """

    name: HubName
    commit: str
    folder: Path

    @property
    def label(self) -> str:
        """Names this very state of the speaker."""
        return f"{self.name.repository}@{self.commit[:12]}"


def load_from_hub(text: str) -> Run:
    """Pull a speaker and read it.

    Raises:
        HubError, RunError, PluginError, RecipeError, WeightsError: it cannot be had, or is not what it should be.
    """
    pulled = pull(text)
    try:
        run = load_run(pulled.folder, foreign=True)
    except RunError as error:
        if damaged := _evict_damaged(pulled):
            raise HubError(
                f"{pulled.name}: {', '.join(damaged)} was damaged in the cache, and is no longer kept; load it again"
            ) from error
        raise
    run.revision = pulled.label
    return run


def pull(text: str, out: Path | None = None) -> Pulled:
    """Download a speaker, as far as it is not in the cache. Interrupted, it goes on where it was.

    Args:
        text: owner/name or owner/name@revision.
        out: a folder to copy the run to; the cache's own folder is not for writing.

    Raises:
        HubError: it cannot be reached, seen or found; a file is too large, is no run's, or is not what the Hub says.
        RunError: `out` exists, or its configuration has faults.
        PluginError, RecipeError: it needs a plugin that is not installed, or cannot be built here.
    """
    name = HubName.parse(text)
    if out is not None and out.exists():
        raise RunError(f"{out} exists; choose another folder")
    commit = resolve(name)
    pulled = _cached(name, commit) or _download(name, commit)
    if out is not None:
        _copy(pulled.folder, out)
    return pulled


def _cached(name: HubName, commit: str) -> Pulled | None:
    """A speaker whose files were all downloaded and checked before."""
    found = [try_to_load_from_cache(name.repository, file, revision=commit) for file in RUN_FILES]
    if not all(isinstance(path, str) for path in found):
        return None
    return Pulled(name, commit, Path(str(found[0])).parent)


def _download(name: HubName, commit: str) -> Pulled:
    listing = list_files(name, commit)
    folder, config = fetch_config(name, commit, listing)
    if missing := [file for file in (MODEL, VOICES, METRICS) if file not in listing]:
        raise HubError(f"{name} is incomplete: {', '.join(missing)} is missing there")
    slots = layout_of(outline_of(config).tensors()).values()
    largest = {
        MODEL: sum(slot.size_bytes for slot in slots) + LARGEST_HEADER,
        VOICES: LARGEST_VOICES,
        METRICS: LARGEST_METRICS,
    }
    total = sum(listing[file].size for file in largest)
    sys.stderr.write(f"{name}: {total / MEGABYTE:.1f} MB from {constants.ENDPOINT}, commit {commit[:12]}\n")
    for file, limit in largest.items():
        fetch_file(name, commit, listing[file], limit, wanted=config.files.get(file, ""))
    return Pulled(name, commit, folder)


def _evict_damaged(pulled: Pulled) -> list[str]:
    """Take files out of the cache that are not what the configuration says; their names."""
    config = config_of(pulled.folder, foreign=True)
    wanted = {pulled.folder / file: digest for file, digest in config.files.items()}
    damaged = [path for path, digest in wanted.items() if sha256_of(path) != digest]
    for path in damaged:
        evict(path)
    return [path.name for path in damaged]


def _copy(folder: Path, out: Path) -> None:
    """Copy a run out of the cache, whole or not at all."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name[:50]}-", suffix=".partial", dir=out.parent))
        try:
            for file in RUN_FILES:
                shutil.copyfile(folder / file, beside / file)
            umask = os.umask(0)
            os.umask(umask)
            beside.chmod(0o777 & ~umask)  # mkdtemp makes folders that only their owner can read
            beside.rename(out)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except OSError as error:
        raise RunError(f"{out}: cannot be written ({error}); nothing was left behind") from error
