"""The option `weights`, or a Hub repository, in; where its files are on this machine out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
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
    Origin,
    VczooError,
    Weights,
    WeightsError,
    announce_download,
    choose_weights,
    is_weights_file,
    offline,
    unavailable,
)
from vczoo_transformers.checkpoint import Checkpoint
from vczoo_transformers.folder import (
    CONFIG,
    INDEX,
    PICKLE,
    PREPROCESSOR,
    WEIGHTS,
    make_config,
    read_config,
    tensor_files,
)

__all__ = ["fetch", "fetch_config", "fetched", "locate", "parse_repository"]

REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*(@[\w./-]+)?")
SHA256 = re.compile(r"[0-9a-f]{64}")


def locate(
    name: str, weights: str, known: tuple[Weights, ...], values: Mapping[str, Any], part: str = "backbone"
) -> Checkpoint | None:
    """Where the weights of a listed model are, fetched where they are not here; None for random ones.

    Args:
        name: of the entry.
        weights: the option: pretrained or a registered name, either with @COMMIT; random; a folder; a .safetensors
            file.
        known: what is registered.
        values: the configuration that the entry is known by, which a folder must agree with.
        part: where in a recipe the entry stands.

    Raises:
        ContractError: the folder is of another model.
        WeightsError: there are no such weights, or they cannot be had.
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
    chosen = choose_weights(name, weights, known)
    folder = fetch(name, chosen, part)
    _check_same(name, values, folder)
    return fetched(folder, chosen)


def fetched(folder: Path, weights: Weights) -> Checkpoint:
    """What `fetch` brought: safetensors, or a pytorch_model.bin with its checksum.

    Raises:
        WeightsError: the checksum is not known here.
    """
    try:
        files, sha256 = tensor_files(folder), ""
    except WeightsError:
        if not (folder / PICKLE).is_file():
            raise
        files, sha256 = (folder / PICKLE,), checksum(folder / PICKLE, weights)
    return Checkpoint(weights.source, Origin.registered(weights, files), files, sha256)


def parse_repository(model: str) -> Weights:
    """`owner/name` or `owner/name@revision` as weights that nothing else is known of.

    Raises:
        VczooError: it is neither.
    """
    if not REPOSITORY.fullmatch(model):
        raise VczooError(
            f"{model}: neither a folder that is there nor a repository of the Hugging Face Hub, owner/name[@revision]"
        )
    repository, _, revision = model.partition("@")
    return Weights(name="pretrained", source=repository, revision=revision)


def fetch(entry_name: str, weights: Weights, part: str = "backbone") -> Path:
    """The folder of a repository's weights, out of the cache or from the Hub.

    Of safetensors and a pytorch_model.bin only the first is asked for.

    Args:
        part: where in a recipe the entry stands.

    Raises:
        WeightsError: they are not in the cache, and offline or the Hub does not give them.
    """
    cached = _cached(weights)
    if cached is not None:
        return cached
    if offline():
        raise unavailable(entry_name, weights, "HF_HUB_OFFLINE is set", part)
    try:
        info = HfApi().model_info(weights.source, revision=weights.revision or None, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        names = _of_weights(sizes)
        if not names:
            raise WeightsError(f"{weights.source} holds neither {WEIGHTS} nor {PICKLE}")
        announce_download(entry_name, replace(weights, size_bytes=sum(sizes[name] for name in names)))
        return Path(
            snapshot_download(
                weights.source,
                # One commit for all files; by the name that was asked for, so that the cache knows it, too.
                revision=weights.revision or "main",
                allow_patterns=[CONFIG, PREPROCESSOR, *names],
            )
        )
    except WeightsError:
        raise
    except Exception as error:  # the Hub's client raises its own, its transport's and the system's errors
        raise unavailable(entry_name, weights, error, part) from error


def fetch_config(entry_name: str, weights: Weights) -> Path:
    """The folder of a repository's config.json, some kilobytes, which tell what the model is.

    Raises:
        WeightsError: as `fetch`.
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
    """The SHA-256 that a downloaded pytorch_model.bin must have: the registered one, or what the Hub says.

    Raises:
        WeightsError: neither is known here.
    """
    if weights.sha256:
        return weights.sha256
    # The Hub's cache names what a link in a snapshot leads to by the checksum that the Hub gave.
    if SHA256.fullmatch(path.resolve().name):
        return path.resolve().name
    if not offline():
        found = get_hf_file_metadata(hf_hub_url(weights.source, PICKLE, revision=path.parent.name)).etag or ""
        if SHA256.fullmatch(found):
            return found
    raise WeightsError(f"{path}: its checksum is not known; connect to the network once, or bring a {WEIGHTS}")


def _cached(weights: Weights) -> Path | None:
    """The folder in the cache that holds a config and all of its weights."""
    config = try_to_load_from_cache(weights.source, CONFIG, revision=weights.revision or None)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    try:
        tensor_files(folder)
    except WeightsError:
        return folder if (folder / PICKLE).is_file() and not (folder / INDEX).is_file() else None
    return folder


def _of_weights(names: dict[str, int]) -> list[str]:
    """The files of a repository that hold its weights, safetensors if it has them."""
    if WEIGHTS in names:
        return [WEIGHTS]
    if INDEX in names:
        return [INDEX, *(name for name in names if re.fullmatch(r"model-\d+-of-\d+\.safetensors", name))]
    return [PICKLE] if PICKLE in names else []


def _check_same(name: str, values: Mapping[str, Any], folder: Path) -> None:
    """Shapes do not tell all: heads, say. So the folder must state what the entry is known by."""
    found, wanted = make_config(str(folder), read_config(folder)), make_config(name, values)
    faults = [
        f"{field} is {getattr(found, field, None)!r}, expected {getattr(wanted, field)!r}"
        for field in values
        if json.dumps(getattr(found, field, None)) != json.dumps(getattr(wanted, field))
    ]
    if faults:
        raise ContractError(
            f"{folder} is not {name}: {'; '.join(faults)}. Any other encoder goes by transformers/auto, model: FOLDER"
        )
