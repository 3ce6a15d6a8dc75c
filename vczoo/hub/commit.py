"""Files in; one commit on the Hugging Face Hub out, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo, RepoFile, constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from vczoo.errors import HubError
from vczoo.hub.client import digest_faults
from vczoo.hub.errors import hub_errors_explained, status_of
from vczoo.hub.name import HubName
from vczoo.models.bundled import CONFIG

__all__ = ["Published", "publish"]

# Of a repository, what may stand in it before it is a speaker, and what of a speaker goes when it is no longer made.
BEFORE = {".gitattributes", "README.md"}
REPLACED = ("samples/", "evaluation/", "curves.png")
PAUSES_SECONDS = (1.0, 4.0, 15.0)
RACE = (409, 412)  # how the Hub answers a commit whose parent is no longer the head

T = TypeVar("T")


@dataclass(frozen=True)
class Published:
    """What was published, or would be.

    Attributes:
        name: the repository, with the tag where there is one.
        commit: in full; "" of a dry run.
        url: of its page.
        files: size in bytes by name.
        removed: files of an earlier version that are no longer part of it.
    """

    name: HubName
    commit: str
    url: str
    files: Mapping[str, int]
    removed: tuple[str, ...] = ()


def publish(name: HubName, files: Mapping[str, Path], *, private: bool, message: str) -> Published:
    """Publish files as one commit on the default branch; what cannot be published whole is not published.

    A server's error is met by trying again where that cannot do a thing twice: the commit names its parent, so that a
    second one is refused where the first was made after all.

    Args:
        name: of the repository, which is made where there is none; its revision is a tag to give the commit.
        files: on this machine, by their names there.
        private: whether a new repository is; an old one must be.
        message: of the commit.

    Raises:
        HubError: it cannot be published, and why; what of it was.
    """
    api, repository, tag = HfApi(), name.repository, name.revision
    with hub_errors_explained(repository, writing=True):
        info = _repository(api, repository, private)
        listing = _listing(api, repository)
        if CONFIG not in listing and (others := sorted(listing.keys() - BEFORE)):
            raise HubError(f"{repository} holds something else ({', '.join(others[:5])}); choose another name")
        if tag and tag in (known := _tags(api, repository)):
            raise HubError(f"{repository} has a tag {tag!r} already (all: {', '.join(sorted(known))}); choose another")
        stale = tuple(path for path in sorted(listing) if path.startswith(REPLACED) and path not in files)
        commit = _commit(api, repository, files, stale, info.sha, message)
        if tag:
            _tag(api, name, commit)
    sizes = {path: file.stat().st_size for path, file in files.items()}
    return Published(name, commit, f"{constants.ENDPOINT}/{repository}", sizes, stale)


def _repository(api: HfApi, repository: str, private: bool) -> ModelInfo:
    """The repository as it is, made where there is none."""
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
    """Make the commit once; its full name."""
    for pause in (*PAUSES_SECONDS, None):
        # The client changes operations while it works, so that each try needs its own.
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path, file) for path, file in files.items()),
            *(CommitOperationDelete(path) for path in stale),
        ]
        try:
            made = api.create_commit(repository, operations, commit_message=message, parent_commit=parent)
            return made.oid
        except HfHubHTTPError as error:
            if status_of(error) in RACE:
                raise _lost(repository) from error
            if not _passing(error) or pause is None:
                raise
        except httpx2.TransportError:
            if pause is None:
                raise
        time.sleep(pause)
        # Only the answer may have been lost.
        head = _retried(lambda: api.model_info(repository)).sha
        if head and head != parent:
            if _holds(api, repository, head, files):
                return head
            raise _lost(repository)
    raise AssertionError


def _holds(api: HfApi, repository: str, commit: str, files: Mapping[str, Path]) -> bool:
    """Whether a commit has exactly these contents under these names."""
    listing = _listing(api, repository, commit)
    return all(path in listing and not digest_faults(file, listing[path]) for path, file in files.items())


def _listing(api: HfApi, repository: str, commit: str | None = None) -> dict[str, RepoFile]:
    items = _retried(lambda: list(api.list_repo_tree(repository, recursive=True, revision=commit)))
    return {item.path: item for item in items if isinstance(item, RepoFile)}


def _tags(api: HfApi, repository: str) -> dict[str, str]:
    """The commit of each tag."""
    return {tag.name: tag.target_commit for tag in _retried(lambda: api.list_repo_refs(repository)).tags}


def _tag(api: HfApi, name: HubName, commit: str) -> None:
    def make() -> None:
        if _tags(api, name.repository).get(name.revision) != commit:  # else only the answer was lost
            api.create_tag(name.repository, tag=name.revision, revision=commit)

    try:
        with hub_errors_explained(name.repository, writing=True):
            _retried(make)
    except HubError as error:
        raise HubError(
            f"{error}\n{name.repository} was published as commit {commit}; only the tag {name.revision!r} is missing: "
            "push again, nothing else will change"
        ) from error


def _retried(action: Callable[[], T]) -> T:
    """Do what may be done twice, again after a pause where the server or the network failed."""
    for pause in PAUSES_SECONDS:
        try:
            return action()
        except HfHubHTTPError as error:
            if not _passing(error):
                raise
        except httpx2.TransportError:
            pass
        time.sleep(pause)
    return action()


def _passing(error: HfHubHTTPError) -> bool:
    """Whether it may go well another time."""
    return status_of(error) >= 500 or status_of(error) == 429


def _lost(repository: str) -> HubError:
    return HubError(
        f"{repository}: somebody else published there in the meantime; nothing of this was published and nothing there "
        "was changed. Look at what is new, then push again"
    )
