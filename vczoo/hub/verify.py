"""Verification of a run: its files, its pretrained base and its tensors against their checksums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import RepoFile

from vczoo.errors import RunError, VczooError, WeightsError
from vczoo.hub.client import digest_faults, list_files
from vczoo.hub.name import check_path, is_hub_name
from vczoo.hub.pull import pull
from vczoo.io.files import sha256_of
from vczoo.models.bundled import embedded_names, embedded_runs
from vczoo.runs.base_run import find_base
from vczoo.runs.config import RunConfig
from vczoo.runs.pretrained_base import check_base, stages_taken
from vczoo.runs.run import CONFIG
from vczoo.runs.run_files import METRICS, MODEL, VOICES, path_of, read_again
from vczoo.runs.run_folder import config_of, load_run
from vczoo.runs.run_model import build_on_base

__all__ = ["Check", "State", "verify"]

State = Literal["ok", "failed", "not checked"]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        what: The statement that was checked.
        state: "ok", "failed" or "not checked", which means that it cannot be checked on this machine.
        detail: Reason for the state.
    """

    what: str
    state: State
    detail: str = ""


def verify(target: str | Path) -> list[Check]:
    """Check a run: its configuration, the checksum of each file, the base that it was trained from, and every tensor.

    Args:
        target: Folder of a run, name of a bundled run (`base`), or name of a run on the Hub, `owner/name` or
            `owner/name@revision`. The last one is pulled, and its files are also compared with the Hub's digests.

    Returns:
        One result per check, whether it succeeded or not.

    Raises:
        UnknownNameError: The name is a path in an existing folder, but does not exist.
        HubError, RunError, PluginError, RecipeError: A run on the Hub cannot be pulled; see `vczoo.hub.pull.pull`.
    """
    if isinstance(target, str) and target in embedded_names() and not Path(target).exists():
        target = embedded_runs() / target
    if isinstance(target, str) and is_hub_name(target):
        check_path(target)
        pulled = pull(target)
        listing = list_files(pulled.name, pulled.commit)
        checks = [_check_against_hub(pulled.folder / name, info) for name, info in sorted(listing.items())]
        return [*checks, *_check_folder(pulled.folder, foreign=True)]
    folder = Path(target)
    return read_again(
        folder,
        lambda: list(_check_folder(folder, foreign=False)),
        lambda checks: any(check.state == "failed" for check in checks),
    )


def _check_against_hub(path: Path, info: RepoFile) -> Check:
    fault = digest_faults(path, info)
    return Check(f"{info.path} matches its digest on the Hub", "failed" if fault else "ok", fault)


def _check_folder(path: Path, *, foreign: bool) -> Iterator[Check]:
    try:
        config = config_of(path, foreign=foreign)
    except VczooError as error:
        yield Check("the configuration can be read and built here", "failed", str(error))
        return
    yield Check("the configuration can be read and built here", "ok", f"recipe {config.recipe.get('name')}")
    for name in (MODEL, VOICES, METRICS):
        yield _check_file(name, path_of(path, name, config.files), config.files.get(name, ""))
    for place, part in config.base.items():
        if not part.stages and not config.base_run:
            yield Check(
                f"{place}: the run stores every tensor itself",
                "ok",
                f"trained from {part.source or 'an unknown source'}",
            )
    base = _check_base_run(config, path, foreign) if config.base_run else _check_base(config)
    yield base
    if base.state == "not checked":
        yield Check("every tensor is accounted for", "not checked", "this needs the pretrained base")
        return
    try:
        load_run(path, foreign=foreign)
    except VczooError as error:
        yield Check("every tensor is accounted for", "failed", str(error))
    else:
        yield Check(
            "every tensor is accounted for", "ok", f"{config.tensors} stored in the run, {len(config.voices)} voices"
        )


def _check_file(name: str, path: Path, expected: str) -> Check:
    what = f"{name} matches its checksum in {CONFIG}"
    try:
        actual = sha256_of(path)
    except OSError as error:
        return Check(what, "failed", str(error))
    if actual != expected:
        return Check(what, "failed", f"SHA-256 {actual}, expected {expected or f'a checksum, but {CONFIG} has none'}")
    return Check(what, "ok", f"SHA-256 {actual}")


def _check_base_run(config: RunConfig, path: Path, foreign: bool) -> Check:
    what = "the base run is the one that the run was tuned from"
    assert config.base_run is not None
    try:
        find_base(config.base_run, path, foreign=foreign)
    except RunError as error:
        return Check(what, "failed", str(error))
    return Check(what, "ok", str(config.base_run))


def _check_base(config: RunConfig) -> Check:
    what = "the pretrained base is the one that the run was trained from"
    sources = ", ".join(
        f"{part.source}@{part.revision[:12]}" if part.revision else part.source for part in config.base.values()
    )
    if not stages_taken(config.base):
        return Check(what, "ok", "the run takes no tensors from a base")
    try:
        model = build_on_base(config)
    except WeightsError as error:
        return Check(what, "not checked", str(error))
    try:
        check_base(config.base, model)
    except WeightsError as error:
        return Check(what, "failed", str(error))
    return Check(what, "ok", sources)
