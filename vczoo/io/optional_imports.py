"""The name of a library that an extra brings in, the library out; a measuring model of the Hub, loaded out.

Both say what to do where they cannot be had.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from vczoo.errors import PluginError, WeightsError

__all__ = ["load_or_download", "require", "safetensors_alone"]

T = TypeVar("T")

_COMMIT = re.compile(r"[0-9a-f]{40}")
MEGABYTE = 1_000_000


def require(module: str, needed_by: str, extra: str) -> Any:
    """Import a library of an extra.

    Args:
        module: as it is imported.
        needed_by: what cannot be done without it, for the error.
        extra: of vczoo, that installs it.

    Raises:
        PluginError: it is not installed, or does not import here; with the command that installs it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of their own imports; a user of vczoo cannot mend them
            return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise PluginError(
            f'{needed_by} needs {library}, which is not here ({error}); run: pip install "vczoo[{extra}]"'
        ) from error


def load_or_download(
    name: str, repository: str, revision: str, load: Callable[[bool], T], *, offline: bool, ways_out: str
) -> T:
    """Load a model from this machine, or say how large it is and from where, and download it.

    Args:
        name: of the model, for messages.
        repository: on the Hugging Face Hub; empty where the model is in a folder.
        revision: of it; empty for its main branch.
        load: called with whether only what is on this machine may be read.
        offline: whether nothing may be downloaded.
        ways_out: what to do where it cannot be had.

    Raises:
        WeightsError: it cannot be had, or what is there cannot be read.
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
    """What transformers' `use_safetensors` shall be for weights at a revision of a Hub repository.

    True, safetensors alone, unless the revision is a commit: then a .bin is read where there is nothing else, by
    torch's reader of weights only. What a branch points to may be changed by others; a commit may not.
    """
    return None if _COMMIT.fullmatch(revision) else True


def _size(repository: str, revision: str) -> str:
    """The largest file of weights in a repository, in words."""
    try:
        from huggingface_hub import HfApi

        files = HfApi().model_info(repository, revision=revision or None, files_metadata=True).siblings or []
        largest = max(file.size or 0 for file in files)
    except Exception:  # without a network the download itself says so
        largest = 0
    return f"{largest / MEGABYTE:.0f} MB" if largest else "size not known"
