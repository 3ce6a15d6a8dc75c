"""Configuration of a run: `RunConfig`, read from and written to vczoo.yaml.

It describes a run without its tensors. This module does not import torch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from vczoo.errors import RunError, shortened
from vczoo.io.files import open_file
from vczoo.io.names import name_fault
from vczoo.io.plain_yaml import LARGEST_TEXT, dump_plain, parse_plain
from vczoo.models.recipe import Recipe

__all__ = [
    "FORMAT",
    "Ancestor",
    "BasePart",
    "BaseRun",
    "Data",
    "File",
    "RunConfig",
    "fault_lines",
    "parse_config",
    "read_config",
    "read_config_and_digest",
]

FORMAT = 2
LONGEST_LABEL = 200  # characters
MOST_LABELS = 10_000
MOST_CREDITS = 100
MOST_ANCESTORS = 1000
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)


def _name(name: str) -> str:
    if fault := name_fault(name):
        raise ValueError(fault)
    return name


def _printable(label: str) -> str:
    if not label.strip() or len(label) > LONGEST_LABEL or not label.isprintable():
        raise ValueError(f"a label is printable text of at most {LONGEST_LABEL} characters")
    return label


def _all_different(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("the names must all be different")
    return names


Name = Annotated[str, AfterValidator(_name)]
Names = Annotated[list[Name], AfterValidator(_all_different)]
Labels = Annotated[
    list[Annotated[str, AfterValidator(_printable)]], Field(max_length=MOST_LABELS), AfterValidator(_all_different)
]
Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
Text = Annotated[str, Field(max_length=2000)]
File = Literal["model.safetensors", "voices.safetensors", "metrics.json"]
Credits = Annotated[list[Text], Field(max_length=MOST_CREDITS)]


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class BasePart(_Plain):
    """The pretrained weights that a backbone or vocoder was built from.

    Attributes:
        source: Hub repository or URL of the weights; for a local file, its name.
        revision: Full commit of the Hub repository, or empty.
        licence: SPDX identifier of the weights' license, or "unknown".
        files: SHA-256 of each weights file, by name.
        stages: Fingerprint of each stage as loaded from those weights. Only stages that have tensors in the base and
            not in the run are listed, so it is empty if the run holds every tensor itself.
    """

    source: Text = ""
    revision: Annotated[str, Field(pattern=r"\A([0-9a-f]{40})?\z")] = ""
    licence: Text = "unknown"
    files: dict[Text, Digest] = Field(default_factory=dict)
    stages: dict[Text, Digest] = Field(default_factory=dict)


class Ancestor(_Plain):
    """A run that another run was made from.

    Attributes:
        kind: `bundled` with vczoo, published on the `hub`, or `local`, a folder that was never published.
        name: Name of a bundled run, `owner/name` on the Hub, or the recipe of a local run.
        revision: Version of vczoo that a bundled run is part of, or full commit on the Hub; empty for a local run.
        sha256: SHA-256 of its vczoo.yaml; empty if it was only in memory.
        licence: Hub identifier of its license; empty if it was never shared.
        consent: Consent statement for its voices; empty if none was recorded.
        parts: Parts of the model that began with its tensors: `backbone`, `vocoder` and `heads.<name>`.
        attribution: The credit that its own license and training data ask for, one line each.
    """

    kind: Literal["bundled", "hub", "local"]
    name: Text
    revision: Text = ""
    sha256: Digest | Literal[""] = ""
    licence: Text = ""
    consent: Text = ""
    parts: Annotated[list[Text], Field(max_length=MOST_CREDITS)] = Field(default_factory=list)
    attribution: Credits = Field(default_factory=list)


class BaseRun(_Plain):
    """The run whose tensors another run leaves out, because it stores only what tuning changed.

    Attributes:
        kind: `bundled` with vczoo, published on the `hub`, or `local`, a folder.
        name: Name of a bundled run, `owner/name` on the Hub, or the path of a folder, relative to that of the run.
        revision: Version of vczoo that a bundled run is part of, or full commit on the Hub; empty for a folder.
        sha256: SHA-256 of its model.safetensors.
    """

    kind: Literal["bundled", "hub", "local"]
    name: Text
    revision: Text = ""
    sha256: Digest

    @model_validator(mode="after")
    def _pinned(self) -> BaseRun:
        if self.kind == "hub" and not _COMMIT.fullmatch(self.revision):
            raise ValueError("a base run on the Hub is named at a full commit of 40 digits")
        return self

    def __str__(self) -> str:
        return f"{self.name}@{self.revision[:12]}" if self.kind == "hub" else self.name


class Data(_Plain):
    """Summary of the training data.

    Attributes:
        fingerprint: SHA-256 over the speaker, split and content of every recording.
        minutes: Minutes of speech, by speaker.
    """

    fingerprint: Digest | Literal[""] = ""
    minutes: dict[Name, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)


class RunConfig(_Plain):
    """The content of vczoo.yaml.

    Attributes:
        format: Version of the file format.
        vczoo: Version of vczoo that wrote the run.
        plugins: Distributions that the recipe's parts come from, with their versions.
        recipe: The resolved recipe; `parsed_recipe` checks it.
        base: Sources of the pretrained parts, `backbone` and `vocoder`.
        base_run: The run whose tensors this one leaves out. The key is left out of a run that needs none.
        speakers: Speakers of the training data, in the order of the logits.
        voices: Names of the target voices.
        labels: Labels of the label heads, in the order of the logits. The key is left out of runs that have none.
        licence: Hub identifier of the run's license; empty before the run is shared.
        consent: Consent statement for the voices; empty before the run is shared.
        attribution: The credit that the license and the training data ask for, one line each. The key is left out if
            there is none.
        lineage: The runs that this one was made from, the nearest first. The key is left out if there are none.
        data: Summary of the training data.
        seed: Random seed of the fine-tune.
        tensors: Number of tensors in model.safetensors.
        files: SHA-256 of the run's other files, by name.
    """

    format: Literal[2] = 2
    vczoo: Text
    plugins: dict[Text, Text]
    recipe: dict[str, Any]
    base: dict[Literal["backbone", "vocoder"], BasePart]
    base_run: BaseRun | None = None
    speakers: Names
    voices: Names
    labels: Labels = Field(default_factory=list)
    licence: Text = ""
    consent: Text = ""
    attribution: Credits = Field(default_factory=list)
    lineage: Annotated[list[Ancestor], Field(max_length=MOST_ANCESTORS)] = Field(default_factory=list)
    data: Data
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    tensors: Annotated[int, Field(ge=0)]
    files: dict[File, Digest]

    def to_yaml(self) -> str:
        """Return the configuration as YAML that `parse_config` can read."""
        # Empty keys are left out so that versions of vczoo that do not know these keys can read the run.
        unused = {name for name in ("labels", "attribution", "lineage", "base_run") if not getattr(self, name)}
        return dump_plain(self.model_dump(exclude=unused))

    @cached_property
    def parsed_recipe(self) -> Recipe:
        """The recipe, parsed when it is first used.

        Raises:
            RecipeError: The recipe is faulty. The message lists all faults.
        """
        return Recipe.parse(self.recipe)


def read_config(path: Path) -> RunConfig:
    """Read vczoo.yaml.

    Args:
        path: Path of the file.

    Raises:
        RunError: The file cannot be read, has another format version, or has invalid fields; the message lists up to 8
            of them.
        VczooError: The file is not plain YAML: it has tags, aliases or duplicate keys, or is too large or too deeply
            nested.
    """
    return read_config_and_digest(path)[0]


def read_config_and_digest(path: Path) -> tuple[RunConfig, str]:
    """Read vczoo.yaml as `read_config` does, and return its SHA-256 too."""
    try:
        with open_file(path) as file:
            content = file.read(4 * LARGEST_TEXT + 1)  # a character has at most 4 bytes
        if len(content) > 4 * LARGEST_TEXT:
            raise RunError(f"{path}: larger than {4 * LARGEST_TEXT} bytes, the limit for a run's configuration")
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from error
    return parse_config(text, str(path)), hashlib.sha256(content).hexdigest()


def parse_config(text: str, where: str) -> RunConfig:
    """Parse the text of a vczoo.yaml, with the errors of `read_config`.

    Args:
        text: Content of the file.
        where: Name of the file in error messages.
    """
    values = parse_plain(text, where)
    if values.get("format") != FORMAT:
        raise RunError(
            f"{where}: the run has format {str(values.get('format'))[:40]!r}, but this version of vczoo reads format "
            f"{FORMAT}. Install a newer version of vczoo, or train the run again"
        )
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise RunError(f"{where}: not a valid run configuration:{fault_lines(error)}") from None


def fault_lines(error: ValidationError) -> str:
    """The faults of a configuration as lines of a message, up to 8 of them."""
    faults = error.errors(include_url=False)
    lines = "".join(f"\n  - {_describe_fault(fault)}" for fault in faults[:8])
    return lines + (f"\n  and {len(faults) - 8} more" if len(faults) > 8 else "")


def _describe_fault(fault: Mapping[str, Any]) -> str:
    field = ".".join(str(step)[:80] for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{field}: unknown field"
    if fault["type"] == "missing":
        return f"{field}: missing"
    got = " ".join(repr(fault["input"])[:200].split())
    return f"{field}: {fault['msg'].removeprefix('Value error, ')}, got {shortened(got, 80)}"
