"""Words and filters in, speakers on the Hub out; a speaker's name in, what it is out, without its weights."""

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
LOOKED_AT = 1000  # speakers, where the Hub cannot filter by itself


@dataclass(frozen=True)
class Speaker:
    """A speaker on the Hub.

    Attributes:
        name: owner/name.
        recipe: that it was made by; "" where its card does not say.
        base: pretrained repositories that it was made from.
        languages: that its voices speak, by their codes.
        licence: identifier of the Hub.
        downloads: of the last month.
        likes: of all times.
        updated: day of the last commit, as in 2026-11-23.
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
        """As a row of text."""
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
    """Find speakers, the most downloaded first.

    Args:
        words: of a name.
        base: a part of the name of a backbone, of its repository or of the recipe: wavlm.
        language: a code, as in the card: ko.
        author: owner.
        limit: how many at most.

    Raises:
        HubError: the Hub cannot be reached.
        VczooError: `limit` is below 1.
    """
    if limit < 1:
        raise VczooError(f"limit is 1 or more, got {limit}")
    found: list[Speaker] = []
    with hub_errors_explained("the search"):
        models = HfApi().list_models(
            filter=[TAG, *([language] if language else [])],
            search=words or None,
            author=author or None,
            sort="downloads",
            limit=LOOKED_AT if base else limit,
            full=True,
            cardData=True,
        )
        for model in models:
            if base.lower() in " ".join(_origins(model)).lower():
                found.append(_speaker(model))
            if len(found) == limit:
                break
    return found


def describe_speaker(text: str) -> dict[str, Any]:
    """What a speaker is: its configuration, its sizes and its page, without downloading weights.

    Args:
        text: owner/name or owner/name@revision.

    Raises:
        HubError, RunError, PluginError, RecipeError: as `vczoo.hub.pull.pull`.
    """
    name = HubName.parse(text)
    commit = resolve(name)
    listing = list_files(name, commit)
    _, config = fetch_config(name, commit, listing)
    described: dict[str, Any] = {
        "speaker": str(name),
        "commit": commit,
        "page": f"{constants.ENDPOINT}/{name.repository}",
        "megabytes": {path: round(info.size / MEGABYTE, 3) for path, info in sorted(listing.items())},
    }
    return {**described, **_told(config)}


def _told(config: RunConfig) -> Mapping[str, Any]:
    plain = config.model_dump()
    first = ("licence", "consent", "voices", "speakers")
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
    """Everything that may name what a speaker was made from."""
    yield from (tag for tag in model.tags or () if tag.startswith(("base_model:", "vczoo-")))


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []
