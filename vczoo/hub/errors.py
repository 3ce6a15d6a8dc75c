"""Translation of huggingface_hub's exceptions into `HubError`s that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)

from vczoo.errors import HubError, first_line

__all__ = ["hub_errors_explained", "status_of"]

LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


@contextmanager
def hub_errors_explained(repository: str, revision: str = "", *, writing: bool = False) -> Iterator[None]:
    """Context manager that turns errors of the Hub's client, the network and the cache into `HubError`s.

    Args:
        repository: The repository that the requests are about, `owner/name`.
        revision: The requested revision; "" for the default branch.
        writing: Whether the requests publish something.

    Raises:
        HubError: A request failed, or the cache cannot be used.
    """
    try:
        yield
    except HFValidationError as error:
        raise HubError(f"{repository!r} is not a valid repository name; expected owner/name ({error})") from error
    except (RevisionResolutionError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise HubError(_unavailable(repository, revision, error, writing)) from error
    except HfHubHTTPError as error:
        raise HubError(_http_error(repository, revision, error, writing)) from error
    except httpx2.HTTPError as error:
        raise HubError(
            f"{repository}: {constants.ENDPOINT} cannot be reached ({type(error).__name__}: {error}); "
            "check the network and try again. Files already downloaded are kept"
        ) from error
    except (AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # The client raises these for malformed responses, and for responses that name paths outside the cache.
        raise HubError(
            f"{repository}: {constants.ENDPOINT} sent an invalid response ({type(error).__name__}: "
            f"{first_line(error)}); check that HF_ENDPOINT is the address of a Hugging Face Hub"
        ) from error
    except OSError as error:
        disk_full = error.errno == errno.ENOSPC
        advice = (
            "free some space, or set HF_HOME to another disk" if disk_full else "check its permissions, or set HF_HOME"
        )
        raise HubError(
            f"{repository}: the cache {constants.HF_HUB_CACHE} cannot be used ({error}); {advice}"
        ) from error


def status_of(error: HfHubHTTPError) -> int:
    """Return the HTTP status code of the Hub's response."""
    return int(error.response.status_code)


def _unavailable(repository: str, revision: str, error: Exception, writing: bool) -> str:
    name = f"{repository}@{revision}" if revision else repository
    if writing and constants.HF_HUB_OFFLINE:
        return f"{name} cannot be published while HF_HUB_OFFLINE is set; unset it and try again"
    if constants.HF_HUB_OFFLINE:
        return (
            f"{name} is not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set; "
            f"unset it and run `vczoo pull {name}` once"
        )
    return f"{name} is not in the cache, and {constants.ENDPOINT} cannot be reached ({error}); check the network"


def _http_error(repository: str, revision: str, error: HfHubHTTPError, writing: bool) -> str:
    page, status = f"{constants.ENDPOINT}/{repository}", status_of(error)
    details = f" ({error.server_message})" if error.server_message else ""
    if isinstance(error, GatedRepoError):
        return f"{repository} is gated: ask for access at {page}, and {LOGIN}"
    if status == 401 and get_token():
        return f"{repository}: the Hub rejected your token{details}: it is wrong or has expired; {LOGIN}"
    if isinstance(error, RepositoryNotFoundError):
        login = "your token has no access to it" if get_token() else f"you are not logged in; {LOGIN}"
        return (
            f"{constants.ENDPOINT} has no repository {repository} that you can see. Check the name; if the repository "
            f"is private, {login}"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repository} has no branch, tag or commit {revision!r}; see {page}/commits/main for a list"
    if isinstance(error, RemoteEntryNotFoundError):
        return (
            f"{repository}: the file {error.request.url.path} is missing; the repository is damaged or not a vczoo run"
        )
    if status in (401, 403):
        if not get_token():
            return f"{repository}: you are not logged in; {LOGIN}"
        if writing:
            advice = f"create one that has at {constants.ENDPOINT}/settings/tokens"
            return f"{repository}: your token has no permission to write to it{details}; {advice}"
        return f"{repository}: your token has no permission to read it{details}; use one that has"
    if status == 429:
        return f"{repository}: too many requests to the Hub; try again in a few minutes"
    advice = "try again later" if status >= 500 else "check the name and the options"
    return f"{repository}: the Hub returned HTTP status {status}{details or f' ({error})'}; {advice}"
