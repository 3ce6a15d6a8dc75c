"""`Entry`: one registered name with its metadata and a factory named by a string. No torch here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from vczoo.errors import PluginError

__all__ = ["Entry", "Kind", "Weights"]

Kind = Literal["backbone", "freezing", "head", "vocoder", "watermark"]


@dataclass(frozen=True)
class Weights:
    """Named pretrained weights: where they are and what they must be.

    Attributes:
        name: as in `weights: NAME`.
        source: address or Hub repository that they come from.
        licence: SPDX identifier, or "unknown".
        size_bytes: size of the download; 0 where it is not known before.
        sha256: hex digest of the file, whole or its first digits; empty where the source pins it otherwise.
        revision: the pinned revision of a Hub repository; empty elsewhere.
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
        name: as in `use: NAME`; plugins prefix theirs, `timm/resnet18`.
        kind: backbone, freezing, head, vocoder or watermark.
        factory: "module:attribute", imported on use; called with `arguments`, the recipe's options and those
            of `vczoo.models.part_options.CONTEXT` that its signature names.
        summary: one line.
        licence: SPDX identifier of the code that the factory wraps.
        paper: arXiv number or address.
        source: project page; of a distribution's own work, the distribution's name.
        arguments: values given to the factory that a recipe does not choose.
        weights: named pretrained weights, the default first.
        exports: whether `torch.export` takes what the factory makes; the conformance suite then tries it.
        check_with: options that the conformance suite builds it with, where the defaults make something large.
        replaced_by: the part of its kind to use instead, `timm/other`, where this name is kept for old recipes alone.
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
        if wrong := [name for name, value in texts.items() if not isinstance(value, str)]:
            raise PluginError(f"entry {self.name!r}: {wrong[0]} is {texts[wrong[0]]!r}, expected text")
        if not isinstance(self.arguments, Mapping) or not all(isinstance(one, Weights) for one in self.weights):
            raise PluginError(f"entry {self.name!r}: arguments are a mapping, and weights are vczoo.Weights")
        if ":" in self.name:
            raise PluginError(f"entry {self.name!r}: a colon separates a distribution from a name; leave it out")
        if self.kind not in get_args(Kind):
            raise PluginError(f"entry {self.name!r}: kind is {self.kind!r}, expected one of {get_args(Kind)}")
        module, _, attribute = self.factory.partition(":")
        if not module or not attribute:
            raise PluginError(f"entry {self.name!r}: factory is {self.factory!r}, expected 'module:attribute'")
        if not self.name or not self.summary or not self.licence:
            raise PluginError(f"entry {self.name!r} of kind {self.kind}: name, summary and licence are required")
        if self.replaced_by == self.name:
            raise PluginError(f"entry {self.name!r} of kind {self.kind}: replaced_by is that name; name another")

    def load(self) -> Callable[..., Any]:
        """Import the factory.

        Raises:
            PluginError: the module or the attribute is not there.
        """
        module, _, attribute = self.factory.partition(":")
        try:
            factory = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"{self.kind} {self.name!r}: {self.factory} cannot be imported ({error}); "
                "install what its plugin needs, or report it to the plugin's author"
            ) from error
        if not callable(factory):
            raise PluginError(f"{self.kind} {self.name!r}: {self.factory} is not callable")
        return factory  # type: ignore[no-any-return]
