"""What the Hub's client raises in; a `HubError` that says what to do out."""

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

from vczoo.errors import HubError

__all__ = ["hub_errors_explained", "status_of"]

LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


@contextmanager
def hub_errors_explained(repository: str, revision: str = "", *, writing: bool = False) -> Iterator[None]:
    """Turn what the Hub's client raises about a repository into errors for people.

    Args:
        repository: owner/name.
        revision: that is asked for, where one is.
        writing: whether something is being published.

    Raises:
        HubError: anything went wrong between here and there.
    """
    try:
        yield
    except HFValidationError as error:
        raise HubError(f"{repository!r} is no name of a repository; one is owner/name ({error})") from error
    except (RevisionResolutionError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise HubError(_not_here(repository, revision, error, writing)) from error
    except HfHubHTTPError as error:
        raise HubError(_answered(repository, revision, error, writing)) from error
    except httpx2.HTTPError as error:
        raise HubError(
            f"{repository}: {constants.ENDPOINT} cannot be reached ({type(error).__name__}: {error}); "
            "check the network and try again: what was downloaded already is kept"
        ) from error
    except (AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # What the Hub's client raises in for an answer that is none, and for one that names places outside the cache.
        said = (str(error).splitlines() or [""])[0]
        raise HubError(
            f"{repository}: {constants.ENDPOINT} does not answer as a Hub does ({type(error).__name__}: {said[:200]}); "
            "is HF_ENDPOINT right?"
        ) from error
    except OSError as error:
        full = error.errno == errno.ENOSPC
        way = "free some space, or set HF_HOME to another disk" if full else "check its permissions, or set HF_HOME"
        raise HubError(f"{repository}: the cache {constants.HF_HUB_CACHE} cannot be used ({error}); {way}") from error


def status_of(error: HfHubHTTPError) -> int:
    """The HTTP status that the Hub answered with."""
    return int(error.response.status_code)


def _not_here(repository: str, revision: str, error: Exception, writing: bool) -> str:
    what = f"{repository}@{revision}" if revision else repository
    if writing and constants.HF_HUB_OFFLINE:
        return f"{what} cannot be published while HF_HUB_OFFLINE forbids the network; unset it"
    if constants.HF_HUB_OFFLINE:
        return (
            f"{what} is not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids the network; "
            f"unset it and run `vczoo pull {what}` once"
        )
    return f"{what} is not in the cache, and {constants.ENDPOINT} cannot be reached ({error}); check the network"


def _answered(repository: str, revision: str, error: HfHubHTTPError, writing: bool) -> str:
    page, status = f"{constants.ENDPOINT}/{repository}", status_of(error)
    said = f" ({error.server_message})" if error.server_message else ""
    if isinstance(error, GatedRepoError):
        return f"{repository} is gated: ask for access at {page}, and {LOGIN}"
    if status == 401 and get_token():
        return f"{repository}: the Hub does not take the token{said}: it is wrong or has expired; {LOGIN}"
    if isinstance(error, RepositoryNotFoundError):
        login = "this token may not see it" if get_token() else f"you are not logged in: {LOGIN}"
        return f"{constants.ENDPOINT} shows no repository {repository}: check the name; or it is private, and {login}"
    if isinstance(error, RevisionNotFoundError):
        return f"{repository} has no branch, tag or commit {revision!r}; {page}/commits/main lists what there is"
    if isinstance(error, RemoteEntryNotFoundError):
        return f"{repository}: a file is missing there ({error.request.url.path}); no speaker of vczoo, or damaged"
    if status in (401, 403):
        if not get_token():
            return f"{repository}: you are not logged in; {LOGIN}"
        need = f"has no right to write there; make one that has at {constants.ENDPOINT}/settings/tokens"
        return f"{repository}: the token {need if writing else 'has no right to read it'}{said}"
    if status == 429:
        return f"{repository}: the Hub asks to wait (too many requests); try again in some minutes"
    again = "try again later" if status >= 500 else "check the name and the options"
    return f"{repository}: the Hub answered {status}{said or f' ({error})'}; {again}"
