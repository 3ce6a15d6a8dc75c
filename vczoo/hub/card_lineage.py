"""Lineage and credits on a model card: the runs that a run was made from, and whom their licenses ask to name."""

from __future__ import annotations

from vczoo.hub.card_facts import CardFacts
from vczoo.io.markdown import code, escaped, link
from vczoo.runs.config import Ancestor

__all__ = ["credits_of", "described"]

LONGEST_CREDIT = 2000  # characters of one line
SHORT = 12  # hex digits of a commit


def described(ancestor: Ancestor, endpoint: str) -> str:
    """Name an ancestor in Markdown, with the version or commit.

    Args:
        ancestor: The run.
        endpoint: URL of the Hub.
    """
    if ancestor.kind == "bundled":
        return f"{code(ancestor.name)}, the model bundled with vczoo {escaped(ancestor.revision)}"
    if ancestor.kind == "hub":
        page = link(ancestor.name, f"{endpoint.rstrip('/')}/{ancestor.name}")
        return f"{page} at commit {code(ancestor.revision[:SHORT])}"
    return f"an unpublished run of the recipe {code(ancestor.name)}"


def credits_of(facts: CardFacts) -> list[str]:
    """Write the credits of the run and of every run that it was made from, one line of Markdown each."""
    lines = [escaped(line, LONGEST_CREDIT) for line in facts.attribution]
    for ancestor in facts.lineage:
        origin = f"{described(ancestor, facts.endpoint)}"
        if ancestor.kind != "local" and ancestor.licence:
            lines.append(f"{origin}, license {code(ancestor.licence)}; changed by fine-tuning or enrollment")
        lines += [f"in {origin}: {escaped(line, LONGEST_CREDIT)}" for line in ancestor.attribution]
    return list(dict.fromkeys(lines))
