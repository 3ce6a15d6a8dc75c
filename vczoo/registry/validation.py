"""Validation of what a plugin registers: missing modules and malformed recipes. Imports none of the parts."""

from __future__ import annotations

from collections.abc import Iterable

from vczoo.errors import PluginError, VczooError
from vczoo.io.plain_yaml import parse_plain
from vczoo.io.text import bulleted, counted
from vczoo.registry.plugin_loader import locate
from vczoo.registry.registration import Offer, Plugin

__all__ = ["flaws", "require_whole"]


def flaws(offer: Offer | None) -> list[str]:
    """One sentence for each missing factory module and for each recipe that is unreadable or not plain YAML.

    Whether a factory works is known only after `Entry.load` has imported it.
    """
    if offer is None:
        return []
    entries_by_module: dict[str, list[str]] = {}
    for entry in offer.entries:
        entries_by_module.setdefault(entry.factory.partition(":")[0], []).append(f"{entry.kind} {entry.name!r}")
    faults = []
    for module, entries in entries_by_module.items():
        if locate(module) is None:
            more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
            faults.append(f"{entries[0]}{more}: there is no module {module}, which the factory should be in")
    for recipe in offer.recipes:
        try:
            parse_plain(recipe.read(), f"recipe {recipe.name!r}")
        except VczooError as error:
            faults.append(str(error))
    return faults


def require_whole(plugins: Iterable[Plugin]) -> None:
    """Check that every selected plugin loads and registers no part or recipe that is visibly broken.

    Raises:
        PluginError: one or more plugins have faults. The message lists all of them.
    """
    faults = [
        f"{plugin.label}: {fault}"
        for plugin in plugins
        for fault in ([plugin.fault] if plugin.fault else flaws(plugin.offer))
        if plugin.state != "left out"
    ]
    if faults:
        raise PluginError(bulleted(f"VCZOO_STRICT is set and plugins have {counted(len(faults), 'fault')}", faults))
