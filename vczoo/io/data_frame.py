"""pandas data frames of plain rows."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from vczoo.errors import PluginError

__all__ = ["data_frame"]


def data_frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A `pandas.DataFrame` with one row per mapping.

    Raises:
        PluginError: pandas is not installed.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise PluginError(
            f"to_pandas needs pandas, which cannot be imported ({error}); run: pip install pandas"
        ) from error
    return pandas.DataFrame(list(rows))
