"""The name of a library that only an extra brings in; the library out, or the command that installs it."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from vczoo.errors import PluginError

__all__ = ["require"]


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
