"""Lineage of a run: the runs that it was made from, with their licenses, consent statements and credits."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from vczoo.io.files import sha256_of
from vczoo.models.bundled import CONFIG, is_bundled
from vczoo.models.recipe import Recipe
from vczoo.runs.config import Ancestor, RunConfig
from vczoo.runs.run import Run

__all__ = ["lineage_from", "parts_of", "published_ancestor"]


def lineage_from(run: Run, parts: Iterable[str] | None = None) -> tuple[Ancestor, ...]:
    """Return the lineage of a run that is made from `run`.

    Args:
        run: The run that is loaded to begin with.
        parts: Parts that keep its tensors: `backbone`, `vocoder` and `heads.<name>`; None for all parts of its recipe.
    """
    if run.lineage and run.lineage[0].kind == "hub" and run.revision == hub_label(run.lineage[0]):
        return run.lineage  # it was loaded from the Hub, so the first ancestor is the run itself
    bundled = run.folder is not None and is_bundled(run.folder)
    ancestor = Ancestor(
        kind="bundled" if bundled else "local",
        name=run.folder.name if bundled and run.folder else run.recipe.name,
        revision=metadata.version("vczoo") if bundled else "",
        sha256=sha256_of(run.folder / CONFIG) if run.folder else "",
        licence=run.licence,
        consent=run.consent,
        parts=list(parts_of(run.recipe) if parts is None else parts),
        attribution=list(run.attribution),
    )
    return (ancestor, *run.lineage)


def published_ancestor(repository: str, commit: str, folder: Path, config: RunConfig) -> Ancestor:
    """Describe a run that was pulled from the Hub.

    Args:
        repository: `owner/name`.
        commit: Full commit.
        folder: Folder of the run in the cache.
        config: Its configuration.
    """
    return Ancestor(
        kind="hub",
        name=repository,
        revision=commit,
        sha256=sha256_of(folder / CONFIG),
        licence=config.licence,
        consent=config.consent,
        parts=list(parts_of(config.parsed_recipe)),
        attribution=config.attribution,
    )


def hub_label(ancestor: Ancestor) -> str:
    """Return the repository and the first 12 hex digits of the commit, `owner/name@commit`."""
    return f"{ancestor.name}@{ancestor.revision[:12]}"


def parts_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the parts of a recipe that have tensors: `backbone`, `vocoder` and `heads.<name>`."""
    return ("backbone", *(["vocoder"] if recipe.vocoder else []), *(f"heads.{name}" for name in recipe.heads))
