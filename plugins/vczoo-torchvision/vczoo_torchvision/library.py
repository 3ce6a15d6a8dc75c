"""torchvision's functions that make models, imported without torch._dynamo.

`torchvision.ops` imports one function of torch._dynamo, for boxes in images, which takes nearly as long as the import
of torch. Here it gets a function that imports torch's own when it is called.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

__all__ = ["get_model", "get_model_weights"]

PACKAGE = "torch._dynamo"
MODULE = f"{PACKAGE}.utils"


def is_compile_supported(device_type: Any) -> Any:
    """Whether torch.compile works on a device; torch's function of this name."""
    return importlib.import_module(MODULE).is_compile_supported(device_type)


@contextmanager
def _without_dynamo() -> Iterator[None]:
    if PACKAGE in sys.modules:
        yield
        return
    utils = ModuleType(MODULE)
    utils.is_compile_supported = is_compile_supported  # type: ignore[attr-defined]
    sys.modules |= {PACKAGE: ModuleType(PACKAGE), MODULE: utils}
    try:
        yield
    finally:
        del sys.modules[PACKAGE], sys.modules[MODULE]


with _without_dynamo():
    from torchvision.models import get_model, get_model_weights
