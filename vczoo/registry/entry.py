"""Registry entries: a part's name, its metadata, its pretrained weights and its factory. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from vczoo.errors import PluginError

__all__ = ["Entry", "Kind", "Weights"]

Kind = Literal["backbone", "freezing", "head", "vocoder", "pitch", "metric", "watermark"]


@dataclass(frozen=True)
class Weights:
    """Named pretrained weights: where to download them and how to check them.

    Attributes:
        name: Name of the weights, as in `weights: NAME`.
        source: URL or Hub repository that they are downloaded from.
        licence: SPDX identifier of their license, or "unknown".
        size_bytes: Size of the download in bytes; 0 if it is unknown.
        sha256: Hex digest of the file, or its first digits; empty if the source pins the file in another way.
        revision: Pinned revision of a Hub repository; empty for other sources.
    """

    name: str
    source: str
    licence: str = "unknown"
    size_bytes: int = 0
    sha256: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Entry:
    """One registered part.

    Attributes:
        name: Name of the part, as in `use: NAME`. Plugins add a prefix, as in `timm/resnet18`.
        kind: Kind of the part: backbone, freezing, head, vocoder, pitch (a tracker), metric (of an evaluation) or
            watermark.
        factory: Callable that builds the part, as "module:attribute". It is imported on first use and called with
            `arguments`, the recipe's options, and those values of `vczoo.models.part_options.CONTEXT` that its
            signature names.
        summary: Description of the part, in one line.
        licence: SPDX identifier of the license of the code that the factory wraps.
        paper: arXiv number or URL of the paper.
        source: Project page, or the name of the distribution if the part is its own work.
        arguments: Values passed to the factory that a recipe cannot change.
        weights: Named pretrained weights; the first are the default.
        exports: Whether `torch.export` supports the part. If so, the conformance suite tries it.
        check_with: Options that the conformance suite builds the part with, if the defaults build something large.
        replaced_by: The part of the same kind to use instead, such as `timm/other`, if this name is kept only for old
            recipes.
    """

    name: str
    kind: Kind
    factory: str
    summary: str
    licence: str
    paper: str = ""
    source: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[Weights, ...] = ()
    exports: bool = False
    check_with: Mapping[str, Any] = field(default_factory=dict)
    replaced_by: str = ""

    def __post_init__(self) -> None:
        names = ("name", "factory", "summary", "licence", "paper", "source", "replaced_by")
        texts = {name: getattr(self, name) for name in names}
        if not_text := [name for name, value in texts.items() if not isinstance(value, str)]:
            raise PluginError(f"entry {self.name!r}: {not_text[0]} is {texts[not_text[0]]!r}, expected text")
        if not isinstance(self.arguments, Mapping) or not all(isinstance(item, Weights) for item in self.weights):
            raise PluginError(
                f"entry {self.name!r}: arguments must be a mapping and weights a tuple of vczoo.Weights, got "
                f"{self.arguments!r} and {self.weights!r}"
            )
        if ":" in self.name:
            raise PluginError(
                f"entry {self.name!r}: a name cannot contain a colon, which separates a distribution from a name; "
                "remove it"
            )
        if self.kind not in get_args(Kind):
            raise PluginError(f"entry {self.name!r}: kind is {self.kind!r}, expected one of {get_args(Kind)}")
        module, _, attribute = self.factory.partition(":")
        if not module or not attribute:
            raise PluginError(f"entry {self.name!r}: factory is {self.factory!r}, expected 'module:attribute'")
        if not self.name or not self.summary or not self.licence:
            raise PluginError(f"entry {self.name!r} of kind {self.kind}: name, summary and licence are required")
        if self.replaced_by == self.name:
            raise PluginError(
                f"entry {self.name!r} of kind {self.kind}: replaced_by is its own name; name another part"
            )

    def load(self) -> Callable[..., Any]:
        """Import the factory.

        Raises:
            PluginError: the factory cannot be imported, or is not callable.
        """
        module, _, attribute = self.factory.partition(":")
        try:
            factory = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"{self.kind} {self.name!r}: {self.factory} cannot be imported ({error}); "
                "install the packages that its plugin needs, or report this to the plugin's author"
            ) from error
        if not callable(factory):
            raise PluginError(
                f"{self.kind} {self.name!r}: {self.factory} is a {type(factory).__name__}, expected a callable; "
                "report this to the plugin's author"
            )
        return factory  # type: ignore[no-any-return]
