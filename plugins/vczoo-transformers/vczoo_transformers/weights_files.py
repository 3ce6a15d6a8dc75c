"""Finding and fetching files of weights: from a folder, from the Hub's cache, or from the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import (
    HfApi,
    get_hf_file_metadata,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)

from vczoo import (
    ContractError,
    Download,
    Origin,
    VczooError,
    Weights,
    WeightsError,
    choose_weights,
    fetch_weights,
    is_weights_file,
    offline,
    unavailable,
)
from vczoo_transformers.pretrained_folder import (
    CONFIG,
    INDEX,
    PICKLE,
    PREPROCESSOR,
    WEIGHTS,
    make_config,
    read_config,
    tensor_files,
)
from vczoo_transformers.weights import Checkpoint

__all__ = ["checkpoint_of", "fetch", "fetch_config", "locate", "parse_repository"]

REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*(@[\w./-]+)?")
SHA256 = re.compile(r"[0-9a-f]{64}")


def locate(
    name: str, weights: str, registered: tuple[Weights, ...], values: Mapping[str, Any], part: str = "backbone"
) -> Checkpoint | None:
    """Find the weights of a listed model, and download them if need be.

    Args:
        name: The name of the entry.
        weights: The option: `pretrained` or a registered name, each optionally with @COMMIT; `random`; a folder; or a
            .safetensors file.
        registered: The weights that the entry registers.
        values: The configuration of the entry, which a folder must match.
        part: The section of the recipe that names the entry.

    Returns:
        The checkpoint, or None for random weights.

    Raises:
        ContractError: The folder holds another model.
        WeightsError: The weights do not exist or are unavailable.
    """
    if weights == "random":
        return None
    if weights.endswith(".safetensors"):
        if not Path(weights).is_file():
            raise WeightsError(f"{weights}: no such file of weights; check the path (it is relative to {Path.cwd()})")
        return Checkpoint(weights, Origin.of_path(weights), (Path(weights),))
    if is_weights_file(weights):
        folder = Path(weights)
        if not folder.is_dir():
            raise WeightsError(f"{weights}: no such folder of weights; check the path (it is relative to {Path.cwd()})")
        _check_same(name, values, folder)
        files = tensor_files(folder)
        return Checkpoint(weights, Origin.of_path(weights, files), files)
    chosen = choose_weights(name, weights, registered)
    folder = fetch(name, chosen, part)
    _check_same(name, values, folder)
    return checkpoint_of(folder, chosen)


def checkpoint_of(folder: Path, weights: Weights) -> Checkpoint:
    """The checkpoint in a fetched folder: safetensors, or a pytorch_model.bin with its checksum.

    Raises:
        WeightsError: The checksum is unknown.
    """
    try:
        files, sha256 = tensor_files(folder), ""
    except WeightsError:
        if not (folder / PICKLE).is_file():
            raise
        files, sha256 = (folder / PICKLE,), checksum(folder / PICKLE, weights)
    return Checkpoint(weights.source, Origin.registered(weights, files), files, sha256)


def parse_repository(model: str) -> Weights:
    """Parse `owner/name` or `owner/name@revision`.

    Raises:
        VczooError: It is neither.
    """
    if not REPOSITORY.fullmatch(model):
        raise VczooError(
            f"{model}: neither an existing folder nor a repository on the Hugging Face Hub, owner/name[@revision]"
        )
    repository, _, revision = model.partition("@")
    return Weights(name="pretrained", source=repository, revision=revision)


def fetch(entry_name: str, weights: Weights, part: str = "backbone") -> Path:
    """The folder with the weights of a repository, downloaded from the Hub if it is not cached.

    If a repository holds safetensors and a pytorch_model.bin, only the safetensors are downloaded.

    Args:
        entry_name: The name of the entry, for messages.
        weights: The repository and its revision.
        part: The section of the recipe that names the entry.

    Raises:
        WeightsError: The weights are not in the cache, and the download is impossible (offline) or fails.
    """
    return fetch_weights(entry_name, weights, part=part, download=RepositoryFolder(weights))


class RepositoryFolder(Download):
    """The folder of a Hub repository that holds the configuration and all files of the weights."""

    def cached(self) -> Path | None:
        """The folder in the cache, if it is complete."""
        config = try_to_load_from_cache(self.weights.source, CONFIG, revision=self.weights.revision or None)
        if not isinstance(config, str):
            return None
        folder = Path(config).parent
        try:
            tensor_files(folder)
        except WeightsError:
            return folder if (folder / PICKLE).is_file() and not (folder / INDEX).is_file() else None
        return folder

    def size_bytes(self) -> int:
        """The size of the files of the weights, as the Hub reports it."""
        return sum(self.sizes.values())

    def download(self) -> Path:
        """Download one commit of the repository."""
        return Path(
            snapshot_download(
                self.weights.source,
                # One commit for all files. Asking by the requested name lets the cache record that name, too.
                revision=self.weights.revision or "main",
                allow_patterns=[CONFIG, PREPROCESSOR, *self.sizes],
            )
        )

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The files of the repository that hold its weights, preferring safetensors, and their sizes in bytes.

        Raises:
            WeightsError: The repository holds no weights.
        """
        source, revision = self.weights.source, self.weights.revision or None
        info = HfApi().model_info(source, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        names = _of_weights(sizes)
        if not names:
            raise WeightsError(f"{source} holds neither {WEIGHTS} nor {PICKLE}")
        return {name: sizes[name] for name in names}


def fetch_config(entry_name: str, weights: Weights) -> Path:
    """The folder with a repository's config.json, which says what the model is, without the weights.

    Raises:
        WeightsError: As in `fetch`.
    """
    cached = try_to_load_from_cache(weights.source, CONFIG, revision=weights.revision or None)
    if isinstance(cached, str):
        return Path(cached).parent
    if offline():
        raise unavailable(entry_name, weights, "HF_HUB_OFFLINE is set")
    try:
        return Path(
            snapshot_download(
                weights.source, revision=weights.revision or "main", allow_patterns=[CONFIG, PREPROCESSOR]
            )
        )
    except Exception as error:  # as above
        raise unavailable(entry_name, weights, error) from error


def checksum(path: Path, weights: Weights) -> str:
    """The SHA-256 that a downloaded pytorch_model.bin must have: the registered one, or the one that the Hub reports.

    Raises:
        WeightsError: Neither is known.
    """
    if weights.sha256:
        return weights.sha256
    # A link in a snapshot of the Hub's cache leads to a file named after the checksum that the Hub reported.
    if SHA256.fullmatch(path.resolve().name):
        return path.resolve().name
    if not offline():
        reported = get_hf_file_metadata(hf_hub_url(weights.source, PICKLE, revision=path.parent.name)).etag or ""
        if SHA256.fullmatch(reported):
            return reported
    raise WeightsError(f"{path}: its checksum is unknown; connect to the network once, or provide a {WEIGHTS}")


def _of_weights(names: dict[str, int]) -> list[str]:
    """The files of a repository that hold its weights, preferring safetensors."""
    if WEIGHTS in names:
        return [WEIGHTS]
    if INDEX in names:
        return [INDEX, *(name for name in names if re.fullmatch(r"model-\d+-of-\d+\.safetensors", name))]
    return [PICKLE] if PICKLE in names else []


def _check_same(name: str, values: Mapping[str, Any], folder: Path) -> None:
    """Check that a folder's configuration has the entry's values. Shapes do not show all of them, such as heads."""
    actual, expected = make_config(str(folder), read_config(folder)), make_config(name, values)
    faults = [
        f"{field} is {getattr(actual, field, None)!r}, expected {getattr(expected, field)!r}"
        for field in values
        if json.dumps(getattr(actual, field, None)) != json.dumps(getattr(expected, field))
    ]
    if faults:
        raise ContractError(
            f"{folder} is not {name}: {'; '.join(faults)}. For any other encoder, use transformers/auto, model: FOLDER"
        )
