"""Origin of a run on a page: its recipe, the weights and runs that it was made from, its license and consent."""

from __future__ import annotations

from importlib import metadata

from vczoo.conversion.converter import Converter
from vczoo.io.plain_yaml import dump_plain
from vczoo.reporting.blocks import Block, Code, Section, Text, table_of
from vczoo.runs.config import Ancestor
from vczoo.runs.pretrained_base import describe_base

__all__ = ["provenance_section", "recipe_section"]

LONGEST_RECIPE = 20_000  # characters
SHORT = 12  # hex digits of a hash or a commit


def recipe_section(converter: Converter) -> Section:
    """The section with the recipe: its parts, and the whole of it, folded away."""
    recipe = converter.recipe
    parts = [{"part": "backbone", "name": recipe.backbone.use, "trained by": recipe.freezing.use or "all of it"}]
    parts += [
        {"part": f"head {name}", "name": head.use, "trained by": _freezing_of(converter, name)}
        for name, head in recipe.heads.items()
    ]
    if recipe.vocoder:
        parts.append({"part": "vocoder", "name": recipe.vocoder.use, "trained by": "not trained here"})
    text = dump_plain(recipe.to_plain())
    cut = "\n# … shortened; see vczoo.yaml" if len(text) > LONGEST_RECIPE else ""
    return Section(
        "recipe",
        "Recipe",
        (
            Text(f"{recipe.name}: {recipe.summary}" if recipe.summary else recipe.name),
            table_of("The parts of the model, and how each is trained (freezing strategy)", parts),
            Code("The whole recipe, as YAML", text[:LONGEST_RECIPE] + cut),
        ),
    )


def provenance_section(converter: Converter) -> Section:
    """The section on origin, license and consent."""
    run = converter.run
    facts = {
        "run": run.revision or "not saved yet",
        "license": run.licence or "none yet: it was never shared",
        "consent": run.consent or "none recorded",
        "seed": str(run.recipe.training.seed),
        "training data (SHA-256)": str(run.data.get("fingerprint", ""))[:SHORT] or "unknown",
        "report by": f"vczoo {metadata.version('vczoo')}",
    }
    blocks: list[Block] = [table_of("This run", [{"fact": name, "value": value} for name, value in facts.items()])]
    base = [
        {
            "part": place,
            "weights of": part.source or "an unknown source",
            "commit": part.revision[:SHORT] or "",
            "license": part.licence,
        }
        for place, part in describe_base(run.model, run.base, ()).items()
    ]
    if base:
        blocks.append(table_of("Pretrained weights", base))
    if run.lineage:
        rows = [
            {
                "run": _named(ancestor),
                "parts that began with its weights": ", ".join(ancestor.parts),
                "license": ancestor.licence or "not shared",
                "consent": ancestor.consent or "none recorded",
            }
            for ancestor in run.lineage
        ]
        blocks.append(table_of("The runs that it was made from, the nearest first", rows))
    elif not base:
        blocks.append(Text("It was trained from random weights."))
    credits_ = [*run.attribution, *(f"{_named(a)}: {line}" for a in run.lineage for line in a.attribution)]
    blocks += [Text(f"Credit: {line}") for line in dict.fromkeys(credits_)]
    return Section("provenance", "Provenance and license", tuple(blocks))


def _freezing_of(converter: Converter, head: str) -> str:
    part = converter.recipe.freezing.parts.get(head)
    return part.use if part else "all of it"


def _named(ancestor: Ancestor) -> str:
    if ancestor.kind == "bundled":
        return f"{ancestor.name}, bundled with vczoo {ancestor.revision}"
    if ancestor.kind == "hub":
        return f"{ancestor.name} at commit {ancestor.revision[:SHORT]}"
    return f"an unpublished run of the recipe {ancestor.name}"
