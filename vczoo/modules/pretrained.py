"""Pretrained weights of a part: the file that its option `weights` names, downloaded if need be."""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from vczoo.errors import WeightsError
from vczoo.io.files import sha256_of
from vczoo.io.tensors import load_strictly, read_tensors
from vczoo.registry.entry import Weights
from vczoo.registry.origin import Origin
from vczoo.registry.weights import (
    announce_download,
    choose_weights,
    describe_source,
    is_weights_file,
    offline,
    unavailable,
)

__all__ = ["Download", "WeightsFile", "fetch_weights", "read_pickled_tensors", "weights_option"]

SAFETENSORS = "model.safetensors"


class Download(ABC):
    """How registered weights are found on this machine, and how they are downloaded.

    `fetch_weights` has one for a file of a Hub repository and one for a URL. A plugin writes its own for anything else,
    such as a folder of several files. Any exception of its methods becomes the error of `fetch_weights`.

    Args:
        weights: The registered weights.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    @abstractmethod
    def cached(self) -> Path | None:
        """The path of the weights on this machine, or None if they have to be downloaded. Uses no network."""

    @abstractmethod
    def download(self) -> Path:
        """Download the weights, and return their path."""

    def size_bytes(self) -> int:
        """The size of the download in bytes, or 0 if it is unknown: by default the registered size."""
        return self.weights.size_bytes


class HubFile(Download):
    """One file of a Hub repository, in huggingface_hub's cache.

    Args:
        weights: The registered weights.
        name: Name of the file in the repository.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__(weights)
        self.name = name

    def cached(self) -> Path | None:
        """The path in the cache, at the weights' revision if they have one."""
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(self.weights.source, self.name, revision=self.weights.revision or None)
        return Path(path) if isinstance(path, str) else None

    def download(self) -> Path:
        """Download the file at the weights' revision."""
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(self.weights.source, self.name, revision=self.weights.revision or None))


class UrlFile(Download):
    """A file at a URL, in torch.hub's cache."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.path = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(weights.source).path).name)

    def cached(self) -> Path | None:
        """The path in the cache."""
        return self.path if self.path.is_file() else None

    def download(self) -> Path:
        """Download the file. It enters the cache only if its checksum is right."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(self.weights.source, str(self.path), hash_prefix=self.weights.sha256 or None)
        return self.path


@dataclass(frozen=True)
class WeightsFile:
    """The file that the option `weights` of a part names.

    Attributes:
        path: The file.
        where: Its source, for error messages.
        origin: Where it came from, for the attribute `origin` of the part.
        registered: The registered weights that it holds; None for a file of the user's own.
    """

    path: Path
    where: str
    origin: Origin
    registered: Weights | None = None

    def load_into(self, module: nn.Module) -> None:
        """Load a safetensors file into a module, strictly.

        Raises:
            WeightsError: The file cannot be read, or does not fit the module.
        """
        load_strictly(module, read_tensors(self.path), where=self.where)


def weights_option(
    entry_name: str,
    weights: str,
    registered: Sequence[Weights] = (),
    *,
    part: str = "backbone",
    file: str = SAFETENSORS,
) -> WeightsFile | None:
    """Find the file that the option `weights` names. Registered weights are downloaded if they are not cached.

    Args:
        entry_name: Name of the part, for messages.
        weights: The option: `random`, the path of a .safetensors file, `pretrained`, or the name of registered weights,
            each of the last two optionally followed by @COMMIT of their Hub repository.
        registered: The registered weights of the part, the default first.
        part: Key of the part in a recipe: "backbone" or "vocoder".
        file: Name of the file in the Hub repositories of the registered weights.

    Returns:
        The file, or None for random weights.

    Raises:
        WeightsError: No weights have this name, or they are neither cached nor can be downloaded.
    """
    if weights == "random":
        return None
    if is_weights_file(weights):
        return WeightsFile(Path(weights), weights, Origin.of_path(weights))
    chosen = choose_weights(entry_name, weights, registered)
    path = fetch_weights(entry_name, chosen, part=part, file=file)
    return WeightsFile(path, chosen.source, Origin.registered(chosen, [path]), chosen)


def fetch_weights(
    entry_name: str,
    weights: Weights,
    *,
    part: str = "backbone",
    file: str = SAFETENSORS,
    download: Download | None = None,
) -> Path:
    """Find registered weights on this machine, or download them, and check their checksum if one is registered.

    Before a download, a line on standard error gives the name, size and source of the weights.

    Args:
        entry_name: Name of the part, for messages.
        weights: The weights, as returned by `choose_weights`.
        part: Key of the part in a recipe: "backbone" or "vocoder".
        file: Name of the file, if the source of the weights is a Hub repository.
        download: Where they are cached and how they are downloaded. By default that depends on the source: one file of
            a Hub repository (in huggingface_hub's cache), or the file of a URL (in torch.hub's cache).

    Returns:
        The path of the file, or whatever path `download` returns.

    Raises:
        WeightsError: The weights are not cached, and the network is forbidden (`HF_HUB_OFFLINE`) or the download fails;
            the message lists three ways out. Or the file has another checksum than the registered one.
    """
    download = download or (UrlFile(weights) if "://" in weights.source else HubFile(weights, file))
    path = download.cached()
    if path is None:
        if offline():
            raise unavailable(entry_name, weights, "HF_HUB_OFFLINE is set", part)
        try:
            announce_download(entry_name, replace(weights, size_bytes=download.size_bytes()))
            path = download.download()
        except WeightsError:
            raise
        except Exception as error:  # clients raise their own errors, those of their transport and those of the system
            raise unavailable(entry_name, weights, error, part) from error
    if weights.sha256 and path.is_file():
        _check_sha256(path, weights.sha256, f"{weights.name} of {describe_source(weights)}")
    return path


def read_pickled_tensors(path: Path, sha256: str = "") -> dict[str, Tensor]:
    """Read the tensors of a PyTorch file (.pth, .pt, .bin) that a part's authors publish. No code in it runs.

    Weights of the user's own are read from .safetensors files, by `read_tensors`.

    Args:
        path: The file. A zip archive, which torch writes since 1.6, is memory-mapped.
        sha256: The checksum that the file must have, or its first digits; empty if it is unknown or was checked before.

    Returns:
        The tensors by name, on the CPU.

    Raises:
        WeightsError: The file has another checksum, is damaged, or holds something other than tensors.
    """
    if sha256:
        _check_sha256(path, sha256, "the published file")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    # torch's own text would suggest to run the code in the file.
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise WeightsError(
            f"{path}: not a PyTorch file that holds only tensors; delete it to download it again, or use a "
            ".safetensors file"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise WeightsError(f"{path}: expected a mapping of names to tensors, got something else")
    return tensors


def _check_sha256(path: Path, sha256: str, what: str) -> None:
    try:
        actual = sha256_of(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error}); delete it to download it again") from error
    if not actual.startswith(sha256):
        raise WeightsError(
            f"{path} is not {what}: its SHA-256 is {actual}, expected {sha256}. Delete it to download it again. "
            "Weights of your own are read only from .safetensors files"
        )
