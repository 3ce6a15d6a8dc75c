"""Single requests to the Hugging Face Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, RepoFile, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError

from vczoo.errors import HubError
from vczoo.hub.errors import hub_errors_explained
from vczoo.hub.name import HubName
from vczoo.io.files import sha256_of
from vczoo.io.plain_yaml import LARGEST_TEXT
from vczoo.registry.origin import REVISION
from vczoo.runs.config import RunConfig
from vczoo.runs.run import CONFIG
from vczoo.runs.run_files import METRICS, MODEL, VOICES
from vczoo.runs.run_folder import config_of

__all__ = ["COUNTED", "count_download", "digest_faults", "fetch_config", "git_digest", "list_files", "resolve"]

RUN_FILES = (CONFIG, MODEL, VOICES, METRICS)
# The Hub counts each request for this file as a download, of a library that it does not know. Nothing reads the file.
COUNTED = "config.json"
MEGABYTE = 1_000_000


def resolve(name: HubName) -> str:
    """Resolve the revision of a name to a full commit hash.

    Raises:
        HubError: The repository or revision does not exist, is not accessible, or the Hub cannot be reached.
    """
    with hub_errors_explained(name.repository, name.revision):
        commit = HfApi().resolve_revision(name.repository, revision=name.revision or None).resolved
    if not REVISION.fullmatch(commit):  # the cache uses it as the name of a folder
        raise HubError(f"{name}: {constants.ENDPOINT} returned {commit[:200]!r} as its commit, expected 40 hex digits")
    return commit


def fetch_config(name: HubName, commit: str, listing: Mapping[str, RepoFile]) -> tuple[Path, RunConfig]:
    """Download and read the configuration of a run.

    Args:
        name: Name of the run.
        commit: Full commit, from `resolve`.
        listing: The run's files at that commit, from `list_files`.

    Returns:
        The run's folder in the cache, which then contains at least vczoo.yaml, and the configuration.

    Raises:
        HubError, RunError, PluginError, RecipeError: As in `vczoo.hub.pull.pull`.
    """
    if CONFIG not in listing:
        raise HubError(f"{name} is not a vczoo run: it has no {CONFIG}. Find runs with `vczoo search`")
    path = fetch_file(name, commit, listing[CONFIG], 4 * LARGEST_TEXT)
    return path.parent, config_of(path.parent, foreign=True)


def list_files(name: HubName, commit: str) -> dict[str, RepoFile]:
    """Return the Hub's metadata of the run's files that exist at a commit, by name.

    Raises:
        HubError: The request failed, or the response is invalid.
    """
    with hub_errors_explained(name.repository, commit):
        infos = HfApi().get_paths_info(name.repository, list(RUN_FILES), revision=commit)
    listing = {info.path: info for info in infos if isinstance(info, RepoFile)}
    if wrong := [path for path, info in listing.items() if type(info.size) is not int or info.size < 0]:
        raise HubError(
            f"{name}: {constants.ENDPOINT} returned the invalid size {listing[wrong[0]].size!r:.40} for {wrong[0]!r}"
        )
    return listing


def count_download(name: HubName, commit: str) -> None:
    """Request the headers of the file that the Hub counts. Runs that were published without it are not counted."""
    with suppress(HfHubHTTPError, httpx2.HTTPError, OSError):
        get_hf_file_metadata(hf_hub_url(name.repository, COUNTED, revision=commit))


def digest_faults(path: Path, info: RepoFile) -> str:
    """Compare a file's digest with the Hub's, and return a description of the difference, or ""."""
    if info.lfs:
        actual, expected = sha256_of(path), info.lfs.sha256
    else:
        actual, expected = git_digest(path.read_bytes()), info.blob_id
    return "" if actual == expected else f"its digest is {actual}, expected {expected} as on the Hub"


def git_digest(content: bytes) -> str:
    """Return the Git blob hash of some content, which the Hub reports for files that are not in LFS."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def fetch_file(name: HubName, commit: str, info: RepoFile, limit: int, sha256: str = "") -> Path:
    """Download one file of a run and check it. If it is wrong, it is removed from the cache.

    Args:
        name: Name of the run.
        commit: Full commit.
        info: The Hub's metadata of the file.
        limit: Largest size in bytes that is accepted.
        sha256: Expected SHA-256 from the run's configuration; "" if there is none.

    Returns:
        Path of the file in the cache.

    Raises:
        HubError: The file is too large, cannot be downloaded, or does not match its size or digest.
    """
    if info.size > limit:
        raise HubError(f"{name}: {info.path} has {info.size} bytes, but at most {limit} are possible for this run")
    with hub_errors_explained(name.repository, commit):
        path = Path(hf_hub_download(name.repository, info.path, revision=commit))
    fault = digest_faults(path, info)
    if path.stat().st_size != info.size:
        fault = f"it has {path.stat().st_size} bytes, expected {info.size} as on the Hub"
    # The SHA-256 of a file in LFS was already compared with info.lfs.sha256 above.
    if not fault and sha256 and (info.lfs.sha256 if info.lfs else sha256_of(path)) != sha256:
        fault = f"it does not match its checksum in {CONFIG}"
    if fault:
        evict(path)
        raise HubError(
            f"{name}: {info.path} is damaged or was tampered with ({fault}). It was removed from the cache. Pull "
            "again; if the error persists, contact the publisher"
        )
    return path


def evict(path: Path) -> None:
    """Remove a file from the cache: the link in the snapshot and its target, unless the target is outside the cache."""
    content, cache = path.resolve(), Path(constants.HF_HUB_CACHE).resolve()
    path.unlink(missing_ok=True)
    if content.is_relative_to(cache):  # the server chooses the name of the target
        content.unlink(missing_ok=True)
