"""What a plugin registers in; which of its parts and recipes cannot work, out. Imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from vczoo.errors import PluginError, VczooError
from vczoo.io.plain_yaml import parse_plain
from vczoo.registry.plugin_loader import locate
from vczoo.registry.registration import Offer, Plugin

__all__ = ["flaws", "require_whole"]


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


def require_whole(plugins: Iterable[Plugin]) -> None:
    """See that every plugin that is asked for works, and every part of it as far as can be told without importing it.

    Raises:
        PluginError: with everything that does not.
    """
    faults = [
        f"{plugin.label}: {fault}"
        for plugin in plugins
        for fault in ([plugin.fault] if plugin.fault else flaws(plugin.offer))
        if plugin.state != "left out"
    ]
    if faults:
        lines = "".join(f"\n  - {fault}" for fault in faults)
        raise PluginError(f"VCZOO_STRICT: {len(faults)} fault{'s' * (len(faults) > 1)} of plugins:{lines}")
