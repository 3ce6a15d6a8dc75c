"""Single requests to the Hugging Face Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import HfApi, RepoFile, constants, hf_hub_download

from vczoo.errors import HubError
from vczoo.hub.errors import hub_errors_explained
from vczoo.hub.name import HubName
from vczoo.io.files import open_file
from vczoo.io.plain_yaml import LARGEST_TEXT
from vczoo.registry.origin import REVISION
from vczoo.runs.config import RunConfig
from vczoo.runs.run import CONFIG, METRICS, MODEL, VOICES
from vczoo.runs.run_folder import config_of

__all__ = ["digest_faults", "fetch_config", "git_digest", "list_files", "resolve", "sha256_of"]

RUN_FILES = (CONFIG, MODEL, VOICES, METRICS)
MEGABYTE = 1_000_000


def resolve(name: HubName) -> str:
    """The full commit of a speaker's revision.

    Raises:
        HubError: there is no such repository or revision, or it cannot be seen or reached.
    """
    with hub_errors_explained(name.repository, name.revision):
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
    path = fetch_file(name, commit, listing[CONFIG], 4 * LARGEST_TEXT)
    return path.parent, config_of(path.parent, foreign=True)


def list_files(name: HubName, commit: str) -> dict[str, RepoFile]:
    """What the Hub says of the files of a run, by name.

    Raises:
        HubError: it cannot be asked.
    """
    with hub_errors_explained(name.repository, commit):
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


def fetch_file(name: HubName, commit: str, info: RepoFile, limit: int, wanted: str = "") -> Path:
    """One file, checked; what is not what it should be does not stay in the cache."""
    if info.size > limit:
        raise HubError(f"{name}: {info.path} has {info.size} bytes, no more than {limit} can belong to such a run")
    with hub_errors_explained(name.repository, commit):
        path = Path(hf_hub_download(name.repository, info.path, revision=commit))
    fault = digest_faults(path, info)
    if path.stat().st_size != info.size:
        fault = f"it has {path.stat().st_size} bytes, the Hub says {info.size}"
    # What is in LFS was just found to have the checksum that the Hub says.
    if not fault and wanted and (info.lfs.sha256 if info.lfs else sha256_of(path)) != wanted:
        fault = f"it is not the file that {CONFIG} was written with"
    if fault:
        evict(path)
        raise HubError(
            f"{name}: {info.path} is damaged or was tampered with ({fault}). It was not kept: pull again; if that "
            "does not help, tell whoever published it"
        )
    return path


def evict(path: Path) -> None:
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
