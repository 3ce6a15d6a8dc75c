"""Point `huggingface_hub` at a test Hub, in this process and the ones it starts. In: an endpoint; out: all undone.

The library reads its environment when it is imported and copies what it read to several places; this sets them all.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

# What a user's shell or machine may have set, and what must not reach a test.
FORGOTTEN = (
    *("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ASSETS_CACHE", "HUGGINGFACE_ASSETS_CACHE", "HF_XET_CACHE"),
    *("HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
    *("HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT", "HUGGINGFACE_CO_STAGING"),
)


@contextmanager
def pointed_at(endpoint: str, home: Path, token: str | None = None) -> Iterator[None]:
    """`huggingface_hub` talks to `endpoint` as `token`'s owner, keeps its files in `home` and sleeps before no retry.

    Xet and telemetry are off. A process started meanwhile gets the same by its environment, but does sleep.
    """
    from huggingface_hub import constants, file_download, hf_api
    from huggingface_hub.utils import _detect_agent, _http

    environment = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # An address of this machine is none for a proxy.
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1"))),
        "no_proxy": ",".join(filter(None, (os.environ.get("no_proxy"), "127.0.0.1"))),
    }
    values: dict[str, Any] = {
        "ENDPOINT": endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HUGGINGFACE_HUB_CACHE": str(home / "hub"),
        "HF_ASSETS_CACHE": str(home / "assets"),
        "HF_XET_CACHE": str(home / "xet"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": False,
    }
    sleepless = SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
    with ExitStack() as stack:
        stack.callback(_http.close_session)  # its connections are to a server that will be gone
        stack.enter_context(mock.patch.dict(os.environ, environment))
        for name in (*FORGOTTEN, "HF_TOKEN"):
            os.environ.pop(name, None)
        if token is not None:
            os.environ["HF_TOKEN"] = token
        for name, value in values.items():
            stack.enter_context(mock.patch.object(constants, name, value))
        for module, name in _copies():
            stack.enter_context(mock.patch.object(module, name, values[name]))
        stack.enter_context(mock.patch.object(hf_api.api, "endpoint", endpoint))
        for module in (_http, file_download):
            stack.enter_context(mock.patch.object(module, "time", sleepless))
        # Asked of the Hub once per process, whatever is told of telemetry.
        nobody: dict[str, Any] = {"standardEnvVars": [], "harnesses": {}}
        stack.enter_context(mock.patch.object(_detect_agent, "_registry", nobody))
        # The library takes a 401 for a missing repository at https addresses alone.
        anywhere = re.compile(_http.REPO_API_REGEX.pattern.replace("https:", "https?:"), re.VERBOSE)
        stack.enter_context(mock.patch.object(_http, "REPO_API_REGEX", anywhere))
        _http.close_session()
        yield


def _copies() -> list[tuple[Any, str]]:
    """The modules that have a constant of their own, as (module, name)."""
    from huggingface_hub.utils import _cache_assets, _cache_manager, _git_credential

    pairs = [(_cache_manager, "HF_HUB_CACHE"), (_cache_assets, "HF_ASSETS_CACHE"), (_git_credential, "ENDPOINT")]
    login = sys.modules.get("huggingface_hub.cli.auth")  # slow to import, and nothing here needs it
    return pairs + ([(login, "ENDPOINT")] if login else [])
