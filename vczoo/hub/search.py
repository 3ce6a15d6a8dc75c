"""Search for published runs on the Hugging Face Hub, and descriptions of them without their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import HfApi, ModelInfo, constants

from vczoo.errors import VczooError
from vczoo.hub.client import fetch_config, list_files, resolve
from vczoo.hub.errors import hub_errors_explained
from vczoo.hub.name import HubName
from vczoo.runs.config import RunConfig

__all__ = ["Speaker", "describe_speaker", "search"]

TAG, RECIPE_TAG = "vczoo", "vczoo-recipe:"
MEGABYTE = 1_000_000
MOST_SCANNED = 1000  # runs, when filtering by base, which the Hub cannot do


@dataclass(frozen=True)
class Speaker:
    """A published run on the Hub.

    Attributes:
        name: Repository of the run, `owner/name`.
        recipe: Recipe of the run; "" if its card does not name it.
        base: Hub repositories of the pretrained weights that it was trained from.
        languages: Languages of its voices, as codes.
        licence: Hub identifier of its license.
        downloads: Downloads in the last month.
        likes: Number of likes.
        updated: Date of the last commit, as in 2026-11-23; "" if it is not known.
    """

    name: str
    recipe: str
    base: tuple[str, ...]
    languages: tuple[str, ...]
    licence: str
    downloads: int
    likes: int
    updated: str

    def row(self) -> dict[str, str]:
        """Return the attributes as text, by column title."""
        return {
            "speaker": self.name,
            "recipe": self.recipe,
            "base": ", ".join(self.base),
            "languages": ", ".join(self.languages),
            "licence": self.licence,
            "downloads": str(self.downloads),
            "likes": str(self.likes),
            "updated": self.updated,
        }


def search(words: str = "", *, base: str = "", language: str = "", author: str = "", limit: int = 30) -> list[Speaker]:
    """Find published runs, the most downloaded first.

    Args:
        words: Words of the repository's name.
        base: Part of the name of the backbone, vocoder, base repository or recipe, such as "wavlm".
        language: Language code as in the card, such as "ko".
        author: Owner of the repository.
        limit: Maximum number of results.

    Raises:
        HubError: The Hub cannot be reached.
        VczooError: `limit` is below 1.
    """
    if limit < 1:
        raise VczooError(f"limit must be at least 1, got {limit}")
    matches: list[Speaker] = []
    with hub_errors_explained("the search"):
        models = HfApi().list_models(
            filter=[TAG, *([language] if language else [])],
            search=words or None,
            author=author or None,
            sort="downloads",
            limit=MOST_SCANNED if base else limit,
            full=True,
            cardData=True,
        )
        for model in models:
            if base.lower() in " ".join(_origins(model)).lower():
                matches.append(_speaker(model))
            if len(matches) == limit:
                break
    return matches


def describe_speaker(text: str) -> dict[str, Any]:
    """Describe a published run without downloading its weights.

    Args:
        text: Name of the run, `owner/name` or `owner/name@revision`.

    Returns:
        Its name, commit, web page, file sizes in megabytes, and the fields of its configuration.

    Raises:
        HubError, RunError, PluginError, RecipeError: As in `vczoo.hub.pull.pull`.
    """
    name = HubName.parse(text)
    commit = resolve(name)
    listing = list_files(name, commit)
    _, config = fetch_config(name, commit, listing)
    repository: dict[str, Any] = {
        "speaker": str(name),
        "commit": commit,
        "page": f"{constants.ENDPOINT}/{name.repository}",
        "megabytes": {path: round(info.size / MEGABYTE, 3) for path, info in sorted(listing.items())},
    }
    return {**repository, **_config_fields(config)}


def _config_fields(config: RunConfig) -> Mapping[str, Any]:
    """Return the fields of a configuration, the most interesting ones first."""
    plain = config.model_dump()
    first = ("licence", "consent", "voices", "speakers", "lineage", "attribution")
    return {key: plain[key] for key in first} | {key: value for key, value in plain.items() if key not in first}


def _speaker(model: ModelInfo) -> Speaker:
    card = dict(model.card_data.to_dict()) if model.card_data else {}  # type: ignore[no-untyped-call]
    recipes = [tag.removeprefix(RECIPE_TAG) for tag in model.tags or () if tag.startswith(RECIPE_TAG)]
    return Speaker(
        model.id,
        ", ".join(recipes),
        tuple(_texts(card.get("base_model"))),
        tuple(_texts(card.get("language"))),
        str(card.get("license", "unknown")),
        model.downloads or 0,
        model.likes or 0,
        model.last_modified.date().isoformat() if model.last_modified else "",
    )


def _origins(model: ModelInfo) -> Iterator[str]:
    """Return the tags that may name what a run was made from."""
    yield from (tag for tag in model.tags or () if tag.startswith(("base_model:", "vczoo-")))


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []
