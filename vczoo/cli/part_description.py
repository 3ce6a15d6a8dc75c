"""Description of a registered part: its options, stages, parameters and pretrained weights. Downloads nothing."""

from __future__ import annotations

import inspect
import re
from importlib import metadata
from typing import Any, get_args

import torch
from torch import nn

from vczoo.audio.specs import FrameSpec
from vczoo.cli.listing import size_text
from vczoo.errors import UnknownNameError
from vczoo.models.meta_init import init_on_meta
from vczoo.models.part_options import CheckedPart, option_defaults
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.registry.entry import Entry, Kind
from vczoo.registry.zoo import the_zoo

__all__ = ["describe_part", "find_part"]

CONTENT = FrameSpec(16000, 320, 256)  # that heads are built for, to count their parameters
EMBEDDING_WIDTH = 192
SPEAKERS = 2


def find_part(name: str) -> tuple[Kind, Entry, str] | None:
    """Return the kind, entry and distribution of a part by its name, or None. Weights may be named, too.

    Raises:
        UnknownNameError: Several distributions register the name, or the part has no weights of that name.
    """
    zoo = the_zoo()
    for kind in get_args(Kind):
        names = {zoo.use_of(entry, distribution) for entry, distribution in zoo.entries(kind)}
        names |= {entry.name for entry, _ in zoo.entries(kind)}
        if name in names or name.rpartition(".")[0] in names or name.rpartition(":")[2] in names:
            try:
                return kind, zoo.find(kind, name)[0], zoo.distribution(kind, name)
            except UnknownNameError:
                if name in names or name.rpartition(".")[0] in names:
                    raise
    return None


def describe_part(kind: Kind, entry: Entry, distribution: str) -> dict[str, Any]:
    """Return plain values: kind, summary, origin, options with defaults, stages, parameters and weights.

    Raises:
        PluginError: The factory of the part cannot be imported.
    """
    facts: dict[str, Any] = {
        "part": the_zoo().use_of(entry, distribution),
        "kind": kind,
        "summary": entry.summary,
        "provided_by": f"{distribution} {metadata.version(distribution)}",
        "license_of_the_code": entry.licence,
        "paper": entry.paper,
        "source": entry.source,
        "replaced_by": entry.replaced_by,
        "options": _options(entry),
        **_size(kind, entry),
        "weights": [
            {
                "name": weights.name,
                "download": size_text(weights.size_bytes),
                "license": weights.licence,
                "source": weights.source,
            }
            for weights in entry.weights
        ],
    }
    return {key: value for key, value in facts.items() if value not in ("", [], {})}


def _options(entry: Entry) -> dict[str, dict[str, Any]]:
    """Each option with its default, and the sentence about it in the factory's docstring."""
    meanings = _argument_docs(entry.load())
    options = {}
    for name, default in option_defaults(entry).items():
        plain = list(default) if isinstance(default, tuple) else default
        readable = plain if isinstance(plain, str | int | float | list | None) else repr(plain)
        options[name] = {"default": readable} | ({"meaning": meanings[name]} if name in meanings else {})
    return options


def _argument_docs(factory: Any) -> dict[str, str]:
    """The texts of the section `Args:` of a docstring in Google's style, by argument."""
    text = inspect.getdoc(factory) or ""
    if inspect.isclass(factory):
        text += "\n" + (inspect.getdoc(factory.__init__) or "")
    docs = {}
    for section in re.findall(r"^Args:\n((?:[ ]{4}.*\n?|\n)*)", text, re.MULTILINE):
        for name, meaning in re.findall(r"^[ ]{4}(\w+):((?:.*\n?)(?:[ ]{8}.*\n?)*)", section, re.MULTILINE):
            docs[name] = " ".join(meaning.split())
    return docs


def _size(kind: Kind, entry: Entry) -> dict[str, Any]:
    """The number of parameters, by stage for a backbone, of the part with its default options and no weights."""
    if kind in ("freezing", "pitch", "metric", "watermark"):
        return {}
    options = {"weights": "random"} if "weights" in option_defaults(entry) else {}
    vocoder = the_zoo().find("vocoder", "griffin-lim")[0].load()()
    context = {
        "frames": CONTENT,
        "acoustic": vocoder.accepts,
        "num_speakers": SPEAKERS,
        "labels": ("a", "b"),
        "embedding_width": EMBEDDING_WIDTH,
    }
    try:
        with torch.random.fork_rng(devices=[]), init_on_meta():
            part = CheckedPart(entry, entry.load(), options).make(context)
        size: dict[str, Any] = {"parameters": _count(part)}
        if isinstance(part, Backbone):
            size["frames"] = f"{part.spec.channels} channels at {part.spec.frame_rate_hz:g} Hz"
            size["stages"] = {stage.name: _count(stage.module) for stage in part.stages()}
        elif kind == "head":
            size["parameters_are_for"] = f"{CONTENT.channels} channels of content, {SPEAKERS} speakers or labels"
    except Exception as error:  # a plugin may fail with anything, and the rest of the description is still of use
        return {"parameters": f"not known ({type(error).__name__}: {error})"}
    return size


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
