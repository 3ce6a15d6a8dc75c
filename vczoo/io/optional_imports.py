"""Imports of optional libraries, and loading of measuring models from the Hub.

If a library or a model is not available, the error says what to do.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from vczoo.errors import PluginError, WeightsError
from vczoo.io.install_advice import pip_install

__all__ = ["load_or_download", "require", "safetensors_alone"]

T = TypeVar("T")

_COMMIT = re.compile(r"[0-9a-f]{40}")
MEGABYTE = 1_000_000


def require(module: str, needed_by: str, extra: str) -> Any:
    """Import a library that an extra of vczoo installs.

    Args:
        module: Name of the module to import.
        needed_by: What needs the library, for the error.
        extra: Name of the extra of vczoo that installs it.

    Raises:
        PluginError: the library is not installed or cannot be imported. The message has the command to install it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # users of vczoo cannot fix warnings of a library's own imports
            return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise PluginError(
            f"{needed_by} needs {library}, which cannot be imported ({error}); run: {pip_install(extra=extra)}"
        ) from error


def load_or_download(
    name: str, repository: str, revision: str, load: Callable[[bool], T], *, offline: bool, ways_out: str
) -> T:
    """Load a model from this machine, or report its size and source and download it.

    Args:
        name: Name of the model, for messages.
        repository: Repository on the Hugging Face Hub; empty if the model is in a local folder.
        revision: Revision of the repository; empty for its main branch.
        load: Function that loads the model. Its argument is True if it may read only local files.
        offline: Whether downloads are forbidden.
        ways_out: What to do if the model cannot be loaded, for the error.

    Raises:
        WeightsError: the model cannot be downloaded or read.
    """
    try:
        try:
            return load(True)
        except Exception:  # the errors of httpx2, huggingface_hub, ctranslate2 and transformers share no base
            if offline or not repository:
                raise
        sys.stderr.write(f"downloading {name} ({_size(repository, revision)}) from {repository} on the Hub\n")
        return load(False)
    except Exception as error:
        raise WeightsError(f"{name} cannot be loaded ({error}). {ways_out}") from error


def safetensors_alone(revision: str) -> bool | None:
    """The value of transformers' `use_safetensors` for weights at a revision of a Hub repository.

    True (only safetensors) unless the revision is a commit. For a commit, which nobody can change, None also allows a
    .bin file if there is no safetensors file; torch then reads it with `weights_only`.
    """
    return None if _COMMIT.fullmatch(revision) else True


def _size(repository: str, revision: str) -> str:
    """The size of the largest file in a repository, for messages."""
    try:
        from huggingface_hub import HfApi

        files = HfApi().model_info(repository, revision=revision or None, files_metadata=True).siblings or []
        largest = max(file.size or 0 for file in files)
    except Exception:  # without a network, the download itself reports the error
        largest = 0
    return f"{largest / MEGABYTE:.0f} MB" if largest else "size unknown"
