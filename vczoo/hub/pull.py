"""Speakers on the Hugging Face Hub: `owner/name@revision` in, a run's folder in the Hub's cache out.

A revision is resolved once, to a commit, and every file is read from that commit. Of a repository only the files of a
run are read, by the names that vczoo gives them; nothing in it is executed, imported or installed. `HF_ENDPOINT` names
the Hub, and `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean to huggingface_hub.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, RepoFile, constants, hf_hub_download, try_to_load_from_cache

from vczoo.errors import HubError, RunError
from vczoo.hub.errors import told
from vczoo.hub.name import HubName
from vczoo.io.files import open_file
from vczoo.io.plain_yaml import LARGEST_TEXT
from vczoo.io.tensor_file import LARGEST_HEADER, layout_of
from vczoo.registry.origin import REVISION
from vczoo.runs.config import RunConfig
from vczoo.runs.run import CONFIG, LARGEST_METRICS, METRICS, MODEL, VOICES, Run, config_of, load_run, outline_of
from vczoo.runs.voices_file import LARGEST_VOICES

__all__ = [
    "Pulled",
    "digest_faults",
    "fetch_config",
    "git_digest",
    "list_files",
    "load_from_hub",
    "pull",
    "resolve",
    "sha256_of",
]

RUN_FILES = (CONFIG, MODEL, VOICES, METRICS)
MEGABYTE = 1_000_000


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
    run.label = pulled.label
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


def resolve(name: HubName) -> str:
    """The full commit of a speaker's revision.

    Raises:
        HubError: there is no such repository or revision, or it cannot be seen or reached.
    """
    with told(name.repository, name.revision):
        commit = HfApi().resolve_revision(name.repository, revision=name.revision or None).resolved
    if not REVISION.fullmatch(commit):  # it becomes a folder's name
        raise HubError(f"{name}: {constants.ENDPOINT} says that its commit is {commit[:200]!r}, which is none")
    return commit


def fetch_config(name: HubName, commit: str, listing: Mapping[str, RepoFile]) -> tuple[Path, RunConfig]:
    """A speaker's folder in the cache with its configuration in it, which says what the other files are.

    Args:
        listing: what `list_files` gives.

    Raises:
        HubError, RunError, PluginError: as `pull`.
    """
    if CONFIG not in listing:
        raise HubError(f"{name} holds no {CONFIG}: it is no speaker of vczoo. `vczoo search` finds those that are")
    path = _fetch(name, commit, listing[CONFIG], 4 * LARGEST_TEXT)
    return path.parent, config_of(path.parent, foreign=True)


def list_files(name: HubName, commit: str) -> dict[str, RepoFile]:
    """What the Hub says of the files of a run, by name.

    Raises:
        HubError: it cannot be asked.
    """
    with told(name.repository, commit):
        infos = HfApi().get_paths_info(name.repository, list(RUN_FILES), revision=commit)
    listing = {info.path: info for info in infos if isinstance(info, RepoFile)}
    if wrong := [path for path, info in listing.items() if type(info.size) is not int or info.size < 0]:
        raise HubError(f"{name}: {constants.ENDPOINT} says that {wrong[0]!r} has {listing[wrong[0]].size!r:.40} bytes")
    return listing


def digest_faults(path: Path, info: RepoFile) -> str:
    """How a file differs from what the Hub says of it, or ""."""
    if info.lfs:
        found, wanted = sha256_of(path), info.lfs.sha256
    else:
        found, wanted = git_digest(path.read_bytes()), info.blob_id
    return "" if found == wanted else f"its digest is {found}, the Hub says {wanted}"


def git_digest(content: bytes) -> str:
    """Git's own name of a file's content, as the Hub tells it of files that are not in LFS."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


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
        _fetch(name, commit, listing[file], limit, wanted=config.files.get(file, ""))
    return Pulled(name, commit, folder)


def _fetch(name: HubName, commit: str, info: RepoFile, limit: int, wanted: str = "") -> Path:
    """One file, checked; what is not what it should be does not stay in the cache."""
    if info.size > limit:
        raise HubError(f"{name}: {info.path} has {info.size} bytes, no more than {limit} can belong to such a run")
    with told(name.repository, commit):
        path = Path(hf_hub_download(name.repository, info.path, revision=commit))
    fault = digest_faults(path, info)
    if path.stat().st_size != info.size:
        fault = f"it has {path.stat().st_size} bytes, the Hub says {info.size}"
    # What is in LFS was just found to have the checksum that the Hub says.
    if not fault and wanted and (info.lfs.sha256 if info.lfs else sha256_of(path)) != wanted:
        fault = f"it is not the file that {CONFIG} was written with"
    if fault:
        _evict(path)
        raise HubError(
            f"{name}: {info.path} is damaged or was tampered with ({fault}). It was not kept: pull again; if that "
            "does not help, tell whoever published it"
        )
    return path


def _evict_damaged(pulled: Pulled) -> list[str]:
    """Take files out of the cache that are not what the configuration says; their names."""
    config = config_of(pulled.folder, foreign=True)
    wanted = {pulled.folder / file: digest for file, digest in config.files.items()}
    damaged = [path for path, digest in wanted.items() if sha256_of(path) != digest]
    for path in damaged:
        _evict(path)
    return [path.name for path in damaged]


def _evict(path: Path) -> None:
    """Take a file out of the cache: the link in the snapshot, and what it leads to, unless that is elsewhere."""
    content, cache = path.resolve(), Path(constants.HF_HUB_CACHE).resolve()
    path.unlink(missing_ok=True)
    if content.is_relative_to(cache):  # the Hub's client lets a server name it
        content.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Of a file; it is read in pieces.

    Raises:
        OSError: it cannot be read.
    """
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
