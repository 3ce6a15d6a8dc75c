"""What a plugin registers in; which of its parts and recipes cannot work, out. Imports none of them."""

from __future__ import annotations

from vczoo.errors import VczooError
from vczoo.offer import Offer
from vczoo.plain import parse_plain
from vczoo.plugin_loading import locate

__all__ = ["flaws"]


def flaws(offer: Offer | None) -> list[str]:
    """Sentences on entries whose factory's module is not there, and on recipes that are no YAML.

    Whether a factory works is known only when it is imported: `Entry.load` tells.
    """
    if offer is None:
        return []
    places: dict[str, list[str]] = {}
    for entry in offer.entries:
        places.setdefault(entry.factory.partition(":")[0], []).append(f"{entry.kind} {entry.name!r}")
    found = []
    for module, entries in places.items():
        if locate(module) is None:
            more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
            found.append(f"{entries[0]}{more}: there is no module {module}, which the factory is in")
    for recipe in offer.recipes:
        try:
            parse_plain(recipe.read(), f"recipe {recipe.name!r}")
        except VczooError as error:
            found.append(str(error))
    return found
