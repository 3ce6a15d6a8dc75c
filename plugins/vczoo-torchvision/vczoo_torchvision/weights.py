"""torchvision's published weights, read without their classifier."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from vczoo import read_pickled_tensors

__all__ = ["HEADS", "read_trunk"]

HEADS = ("classifier.", "fc.")


def read_trunk(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a .pth file without the classifier, which is nine tenths of a VGG.

    A zip archive is memory-mapped, so only the tensors that are used are read. VGG16 and VGG19 are published in the
    format that torch wrote before 1.6, which can only be read whole. For these, a smaller archive without the
    classifier is cached next to the file.

    Raises:
        WeightsError: The file is damaged or is not a torch file.
    """
    copy = file.with_name(f"{file.stem}-trunk{file.suffix}")
    archive = zipfile.is_zipfile(file)
    fresh = copy.is_file() and copy.stat().st_mtime_ns >= file.stat().st_mtime_ns
    tensors = read_pickled_tensors(copy if fresh and not archive else file)
    trunk = {name: tensor for name, tensor in tensors.items() if not name.startswith(HEADS)}
    if not archive and not fresh:
        with suppress(OSError, RuntimeError), TemporaryDirectory(dir=file.parent) as folder:  # a full disk, for example
            torch.save(trunk, Path(folder, copy.name))
            Path(folder, copy.name).replace(copy)
    return trunk
