"""Publishing of files as one commit on the Hugging Face Hub."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo, RepoFile, constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from vczoo.errors import HubError
from vczoo.hub.client import digest_faults
from vczoo.hub.errors import hub_errors_explained, status_of
from vczoo.hub.name import HubName
from vczoo.models.bundled import CONFIG

__all__ = ["Published", "publish"]

# Files that a repository may already contain before the first push of a run to it.
BEFORE = {".gitattributes", "README.md"}
# Files of an earlier push that are deleted if the new one does not include them.
REPLACED = ("samples/", "evaluation/", "curves.png")
PAUSES_SECONDS = (1.0, 4.0, 15.0)
RACE = (409, 412)  # HTTP statuses for a commit whose parent is no longer the head of the branch

T = TypeVar("T")


@dataclass(frozen=True)
class Published:
    """Summary of a push or of a dry run.

    Attributes:
        name: The repository, with the tag if there is one.
        commit: Full commit hash; "" for a dry run.
        url: Web page of the repository.
        files: Size in bytes of each published file, by name.
        removed: Files of an earlier version that this commit deleted.
        card: Text of the model card.
    """

    name: HubName
    commit: str
    url: str
    files: Mapping[str, int]
    removed: tuple[str, ...] = ()
    card: str = ""


def publish(name: HubName, files: Mapping[str, Path], *, private: bool, message: str) -> Published:
    """Publish files as one commit on the default branch, all of them or none.

    Server errors are retried. A retry cannot publish twice, because the commit names its parent: if the first attempt
    did succeed, the Hub rejects the second.

    Args:
        name: The repository, which is created if it does not exist. Its revision, if any, is a new tag for the commit.
        files: Local paths, by their names in the repository.
        private: Whether a new repository is private. An existing one must then be private already.
        message: Commit message.

    Returns:
        Summary of the commit.

    Raises:
        HubError: The files cannot be published, or only the tag cannot be created.
    """
    api, repository, tag = HfApi(), name.repository, name.revision
    with hub_errors_explained(repository, writing=True), _bars_on_terminals():
        info = _repository(api, repository, private)
        listing = _listing(api, repository)
        if CONFIG not in listing and (others := sorted(listing.keys() - BEFORE)):
            raise HubError(f"{repository} is not a vczoo run: it contains {', '.join(others[:5])}. Choose another name")
        if tag and tag in (tags := _tags(api, repository)):
            raise HubError(
                f"{repository} already has a tag {tag!r} (all tags: {', '.join(sorted(tags))}); choose another"
            )
        stale = tuple(path for path in sorted(listing) if path.startswith(REPLACED) and path not in files)
        commit = _commit(api, repository, files, stale, info.sha, message)
        if tag:
            _tag(api, name, commit)
    sizes = {path: file.stat().st_size for path, file in files.items()}
    return Published(name, commit, f"{constants.ENDPOINT}/{repository}", sizes, stale)


@contextmanager
def _bars_on_terminals() -> Iterator[None]:
    """Context in which huggingface_hub draws no progress bars into a file or a pipe."""
    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _repository(api: HfApi, repository: str, private: bool) -> ModelInfo:
    """Return the state of the repository, which is created if it does not exist."""
    try:
        info = _retried(lambda: api.model_info(repository))
    except RepositoryNotFoundError:
        _retried(lambda: api.create_repo(repository, private=private, exist_ok=True))
        info = _retried(lambda: api.model_info(repository))
    if private and not info.private:
        raise HubError(
            f"{repository} is public; make it private at {constants.ENDPOINT}/{repository}/settings, choose another "
            "name, or push without --private"
        )
    return info


def _commit(
    api: HfApi, repository: str, files: Mapping[str, Path], stale: Sequence[str], parent: str | None, message: str
) -> str:
    """Create the commit exactly once, and return its full hash."""
    for pause in (*PAUSES_SECONDS, None):
        # The client modifies the operations, so each attempt needs new ones.
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path, file) for path, file in files.items()),
            *(CommitOperationDelete(path) for path in stale),
        ]
        try:
            return api.create_commit(repository, operations, commit_message=message, parent_commit=parent).oid
        except HfHubHTTPError as error:
            if status_of(error) in RACE:
                raise _race_error(repository) from error
            if not _is_temporary(error) or pause is None:
                raise
        except httpx2.TransportError:
            if pause is None:
                raise
        time.sleep(pause)
        # The commit may have succeeded although its response was lost.
        head = _retried(lambda: api.model_info(repository)).sha
        if head and head != parent:
            if _holds(api, repository, head, files):
                return head
            raise _race_error(repository)
    raise AssertionError


def _holds(api: HfApi, repository: str, commit: str, files: Mapping[str, Path]) -> bool:
    """Whether a commit contains all of these files with the same contents."""
    listing = _listing(api, repository, commit)
    return all(path in listing and not digest_faults(file, listing[path]) for path, file in files.items())


def _listing(api: HfApi, repository: str, commit: str | None = None) -> dict[str, RepoFile]:
    items = _retried(lambda: list(api.list_repo_tree(repository, recursive=True, revision=commit)))
    return {item.path: item for item in items if isinstance(item, RepoFile)}


def _tags(api: HfApi, repository: str) -> dict[str, str]:
    """Return the commit of each tag."""
    return {tag.name: tag.target_commit for tag in _retried(lambda: api.list_repo_refs(repository)).tags}


def _tag(api: HfApi, name: HubName, commit: str) -> None:
    def create() -> None:
        if _tags(api, name.repository).get(name.revision) != commit:  # otherwise only the response was lost
            api.create_tag(name.repository, tag=name.revision, revision=commit)

    try:
        with hub_errors_explained(name.repository, writing=True):
            _retried(create)
    except HubError as error:
        raise HubError(
            f"{error}\n{name.repository} was published as commit {commit}, but without the tag {name.revision!r}. "
            "Push again to create the tag; nothing else will change"
        ) from error


def _retried(action: Callable[[], T]) -> T:
    """Run an idempotent action, and retry it after a pause if the server or the network fails."""
    for pause in PAUSES_SECONDS:
        try:
            return action()
        except HfHubHTTPError as error:
            if not _is_temporary(error):
                raise
        except httpx2.TransportError:
            pass
        time.sleep(pause)
    return action()


def _is_temporary(error: HfHubHTTPError) -> bool:
    """Whether the error is temporary, so that a retry may succeed."""
    return status_of(error) >= 500 or status_of(error) == 429


def _race_error(repository: str) -> HubError:
    return HubError(
        f"{repository}: somebody else pushed to this repository in the meantime, so nothing was published or changed. "
        "Look at the new version, then push again"
    )
