"""vczoo.yaml in, a validated `RunConfig` out, and back: what a run is, without its tensors. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vczoo.errors import RunError
from vczoo.io.files import open_file
from vczoo.io.plain_yaml import LARGEST_TEXT, dump_plain, parse_plain

__all__ = ["FORMAT", "BasePart", "Data", "File", "RunConfig", "parse_config", "read_config", "speakable"]

FORMAT = 2
LONGEST_NAME = 200  # characters of a speaker's or a voice's name, or of a label
MOST_LABELS = 10_000


def speakable(name: str) -> str:
    """A name of a speaker or voice, if it is fit for one.

    Raises:
        ValueError: it is blank, too long, only dots, has a slash, or does not print.
    """
    if not name.strip(" .") or len(name) > LONGEST_NAME or set(name) & set("/\\") or not name.isprintable():
        raise ValueError(f"a name is printable text without '/' and \\, of at most {LONGEST_NAME} characters")
    return name


def _printable(label: str) -> str:
    if not label.strip() or len(label) > LONGEST_NAME or not label.isprintable():
        raise ValueError(f"a label is printable text of at most {LONGEST_NAME} characters")
    return label


def _different(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("the names must be different ones")
    return names


Name = Annotated[str, AfterValidator(speakable)]
Names = Annotated[list[Name], AfterValidator(_different)]
Labels = Annotated[
    list[Annotated[str, AfterValidator(_printable)]], Field(max_length=MOST_LABELS), AfterValidator(_different)
]
Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
Text = Annotated[str, Field(max_length=2000)]
File = Literal["model.safetensors", "voices.safetensors", "metrics.json"]


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class BasePart(_Plain):
    """What a pretrained part is.

    Attributes:
        source: Hub repository or address that its weights come from; of a local file its name.
        revision: the full commit of a Hub repository.
        licence: of the weights, SPDX, or unknown.
        files: SHA-256 of each file of weights, by name.
        stages: fingerprint of each stage as those weights made it; empty where the run holds every tensor itself.
    """

    source: Text = ""
    revision: Annotated[str, Field(pattern=r"\A([0-9a-f]{40})?\z")] = ""
    licence: Text = "unknown"
    files: dict[Text, Digest] = Field(default_factory=dict)
    stages: dict[Text, Digest] = Field(default_factory=dict)


class Data(_Plain):
    """What is kept of the training data.

    Attributes:
        fingerprint: SHA-256 over speaker, split and content of every recording.
        minutes: by speaker.
    """

    fingerprint: Digest | Literal[""] = ""
    minutes: dict[Name, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)


class RunConfig(_Plain):
    """The content of vczoo.yaml.

    Attributes:
        vczoo: version that wrote it.
        plugins: distributions whose parts the recipe uses, with their versions.
        recipe: resolved; `vczoo.models.recipe.Recipe` checks it.
        base: the pretrained parts, `backbone` and `vocoder`.
        speakers: of the training data, in the order of the logits.
        voices: targets of conversion.
        labels: that its label heads know, in the order of the logits; runs without such heads do not name them.
        licence: of the run, an identifier of the Hub; empty before it is shared.
        consent: by what right the voices are used; empty before it is shared.
        seed: of the fine-tune.
        tensors: how many the run holds.
        files: SHA-256 of the files beside it.
    """

    format: Literal[2] = 2
    vczoo: Text
    plugins: dict[Text, Text]
    recipe: dict[str, Any]
    base: dict[Literal["backbone", "vocoder"], BasePart]
    speakers: Names
    voices: Names
    labels: Labels = Field(default_factory=list)
    licence: Text = ""
    consent: Text = ""
    data: Data
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    tensors: Annotated[int, Field(ge=0)]
    files: dict[File, Digest]

    def to_yaml(self) -> str:
        """As text that `parse_config` reads back."""
        # Left out where there are none, so that a vczoo that does not know them reads the run.
        return dump_plain(self.model_dump(exclude=None if self.labels else {"labels"}))


def read_config(path: Path) -> RunConfig:
    """Read vczoo.yaml.

    Args:
        path: the file.

    Raises:
        RunError: it cannot be read, is no plain YAML, is of another format, or has faults: all of them.
        VczooError: it is no plain YAML: it holds tags, aliases, keys twice, or is too large or deep.
    """
    try:
        with open_file(path) as file:
            content = file.read(4 * LARGEST_TEXT + 1)  # a character has at most 4 bytes
        if len(content) > 4 * LARGEST_TEXT:
            raise RunError(f"{path}: more than {4 * LARGEST_TEXT} bytes; no configuration is that large")
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from error
    return parse_config(text, str(path))


def parse_config(text: str, where: str) -> RunConfig:
    """As `read_config`, of text; `where` is what to call it in errors."""
    values = parse_plain(text, where)
    if values.get("format") != FORMAT:
        raise RunError(
            f"{where}: format {str(values.get('format'))[:40]!r}, this vczoo reads {FORMAT}; "
            "upgrade with pip install -U vczoo, or train the run again"
        )
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        lines = "".join(f"\n  - {_sentence(fault)}" for fault in faults[:8])
        more = f"\n  and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise RunError(f"{where}: not a run's configuration:{lines}{more}") from None


def _sentence(fault: Mapping[str, Any]) -> str:
    place = ".".join(str(step)[:80] for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{place}: not expected here"
    if fault["type"] == "missing":
        return f"{place}: missing"
    got = " ".join(repr(fault["input"])[:200].split())
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}, got {got if len(got) < 80 else got[:77] + '...'}"
