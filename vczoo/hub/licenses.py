"""Declared licences in; notes, or one refusal with every conflict, out. No torch.

Checked is what is declared: identifiers of the Hub's list for what is shared, SPDX identifiers for what it is made of.
Whether a fine-tuned model is a derivative of its base weights and of its recordings is not settled everywhere; here it
counts as one, which is the careful reading. This is no legal advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vczoo.errors import LicenceError
from vczoo.hub.license_terms import HUB_LICENCES, Terms, canonical, terms_of
from vczoo.io.text import nearest

__all__ = ["HUB_LICENCES", "Ingredient", "check_licence", "hub_licence"]

# Offered before the rest of the Hub's list.
_LIKELY = (
    "apache-2.0",
    "mit",
    "bsd-3-clause",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "gpl-3.0",
    "agpl-3.0",
    "cc0-1.0",
)
_OFFERED = 5


@dataclass(frozen=True)
class Ingredient:
    """Something that a shared model is made of.

    Attributes:
        what: in words, "backbone torchvision/vgg16, weights pretrained".
        licence: SPDX identifier in any case; "unknown" or "" where it is not known.
    """

    what: str
    licence: str


def hub_licence(licence: str) -> str:
    """The Hub's identifier of a licence, whatever its case.

    Raises:
        LicenceError: it is not on the Hub's list, with the nearest names; or it is `unknown`.
    """
    name = licence.strip().lower()
    if name not in HUB_LICENCES:
        hint = nearest(name, HUB_LICENCES) if name else "."
        got = f"licence {licence!r} is not on the Hub's list" if name else "a licence is needed and none was given"
        raise LicenceError(f"{got}{hint} Some of it: {', '.join(_LIKELY)}; `other` is for terms of your own")
    if name == "unknown":
        raise LicenceError(
            "licence 'unknown': nobody may use what has no licence; choose one, or `other` and say which"
        )
    return name


def check_licence(licence: str, of: Sequence[Ingredient]) -> list[str]:
    """Check the licence of what is shared against the licences of what it is made of, as far as they are known.

    Args:
        licence: an identifier of the Hub's list, in any case.
        of: base weights, vocoder, recordings.

    Returns:
        What a reader should know, a sentence each: what could not be checked, and whose credit is to be kept.

    Raises:
        LicenceError: the licence is not on the list, or with every conflict and the licences that would do.
    """
    name = hub_licence(licence)
    notes, conflicts = [], []
    if name == "other":
        notes.append("The licence is `other`: read its terms in the card before you use this.")
    for ingredient in of:
        terms = terms_of(ingredient.licence)
        declared = ingredient.licence.strip() or "unknown"
        if terms is None:
            known = "" if declared.lower() == "unknown" else f" ({declared} is none that can be checked)"
            notes.append(f"The licence of {ingredient.what} is not known{known}: find out before you rely on this.")
            continue
        reasons = _conflicts(name, terms)
        if name == "other" and terms.derivatives:
            notes += [
                f"{ingredient.what} is {declared}: the terms must be such that {wish}." for wish in _wishes(terms)
            ]
        elif reasons:
            conflicts.append(f"{ingredient.what} is {declared}: {'; '.join(reasons)}")
        elif canonical(ingredient.licence).startswith("cc-by-"):
            notes.append(f"{ingredient.what} is {declared}: name its authors wherever you share this.")
        elif canonical(ingredient.licence) == "odbl":
            notes.append(f"{ingredient.what} is {declared}: say so wherever you share this; a database stays ODbL.")
    if conflicts:
        raise LicenceError(_refusal(name, conflicts, of))
    return list(dict.fromkeys(notes))


def _refusal(name: str, conflicts: Sequence[str], of: Sequence[Ingredient]) -> str:
    known = [terms for ingredient in of if (terms := terms_of(ingredient.licence))]
    own = [canonical(ingredient.licence) for ingredient in of]
    # Its own licences first: they are the likeliest, and the only ones where the terms are peculiar.
    names = [one for one in dict.fromkeys((*own, *_LIKELY, *HUB_LICENCES)) if one in HUB_LICENCES]
    fitting = [one for one in names if one not in ("other", "cc") and not any(_conflicts(one, t) for t in known)]
    if all(terms.derivatives for terms in known):
        some = ", ".join(fitting[:_OFFERED])
        way = f"These would do: {some}." if fitting else "No licence of the Hub's list would do: leave one of them out."
    else:
        way = "No licence would do: train without what may not be changed."
    count = "a conflict" if len(conflicts) == 1 else f"{len(conflicts)} conflicts"
    lines = "".join(f"\n  - {conflict}" for conflict in conflicts)
    return f"licence {name!r} does not go with what this is made of, {count}:{lines}\n{way}"


def _conflicts(name: str, terms: Terms) -> list[str]:
    """Why what has these terms cannot be shared under a licence of the Hub's list."""
    own = terms_of(name) or Terms(credit=False)  # of `cc` or `other` nothing is promised
    if not terms.derivatives:
        return ["it allows no derivatives, and a fine-tuned model is one"]
    reasons = []
    if not terms.commercial and own.commercial:
        reasons.append(f"it is for non-commercial use alone, which {name} does not say")
    if terms.heirs is not None and name not in terms.heirs:
        reasons.append(f"{terms.kind} ({', '.join(sorted(terms.heirs)) or 'its own terms'})")
    elif terms.credit and not own.credit:
        reasons.append(f"its notices or credit must be kept, and {name} asks nobody to")
    if name in terms.bars:
        reasons.append(f"it adds terms that {name} forbids to add")
    return reasons


def _wishes(terms: Terms) -> list[str]:
    """What terms of one's own must see to."""
    wishes = [] if terms.commercial else ["its use stays non-commercial"]
    if terms.heirs is not None:
        wishes.append("its own licence still holds for what was made from it")
    elif terms.credit:
        wishes.append("its notices and credit are kept")
    return wishes
