"""License compatibility check of a shared model with its base weights and recordings.

Only declared licenses are checked: an identifier of the Hub's list for the model, and SPDX identifiers for what it is
made of. Whether a fine-tuned model is legally a derivative of its base weights and recordings is not settled
everywhere. This check cautiously treats it as one. It is not legal advice. This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vczoo.errors import LicenceError
from vczoo.hub.license_terms import HUB_LICENCES, Terms, canonical, terms_of
from vczoo.io.text import bulleted, counted, nearest

__all__ = ["HUB_LICENCES", "Ingredient", "check_licence", "hub_licence"]

# Common licenses, suggested before the rest of the Hub's list.
_COMMON = (
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
_MOST_SUGGESTIONS = 5


@dataclass(frozen=True)
class Ingredient:
    """Something that a shared model is made of, such as base weights or recordings.

    Attributes:
        what: Description for messages, such as "backbone torchvision/vgg16, weights pretrained".
        licence: SPDX identifier of its license, in any case; "unknown" or "" if it is not known.
    """

    what: str
    licence: str


def hub_licence(licence: str) -> str:
    """Return the Hub's identifier of a license.

    Args:
        licence: The identifier, in any case.

    Raises:
        LicenceError: The license is `unknown` or not on the Hub's list; the message suggests the nearest names.
    """
    name = licence.strip().lower()
    if name not in HUB_LICENCES:
        hint = nearest(name, HUB_LICENCES) if name else "."
        problem = (
            f"license {licence!r} is not on the Hub's list" if name else "a license is required, but none was given"
        )
        raise LicenceError(f"{problem}{hint} Common choices: {', '.join(_COMMON)}; use `other` for your own terms")
    if name == "unknown":
        raise LicenceError(
            "license 'unknown': nobody may use a model without a license; choose one, or use `other` for your own terms"
        )
    return name


def check_licence(licence: str, of: Sequence[Ingredient]) -> list[str]:
    """Check the license of a shared model against the licenses of what it is made of, as far as they are known.

    Args:
        licence: An identifier of the Hub's list, in any case.
        of: Base weights, vocoder, recordings and other ingredients of the model.

    Returns:
        Notes for the model card, one sentence each: licenses that could not be checked, and credit that must be kept.

    Raises:
        LicenceError: The license is not on the Hub's list, or conflicts with an ingredient. The message lists all
            conflicts and suggests compatible licenses.
    """
    name = hub_licence(licence)
    notes, conflicts = [], []
    if name == "other":
        notes.append("The license is `other`: read its terms in the card before you use this model.")
    for ingredient in of:
        terms = terms_of(ingredient.licence)
        declared = ingredient.licence.strip() or "unknown"
        if terms is None:
            status = "unknown" if declared.lower() == "unknown" else f"{declared}, which vczoo cannot check"
            notes.append(
                f"The license of {ingredient.what} is {status}: check its terms before you rely on this model."
            )
            continue
        reasons = _conflicts(name, terms)
        if name == "other" and terms.derivatives:
            notes += [
                f"{ingredient.what} ({declared}): your own terms must ensure that {duty}." for duty in _duties(terms)
            ]
        elif reasons:
            conflicts.append(f"{ingredient.what} ({declared}): {'; '.join(reasons)}")
        elif canonical(ingredient.licence).startswith("cc-by-"):
            notes.append(f"{ingredient.what} ({declared}): credit its authors wherever you share this model.")
        elif canonical(ingredient.licence) == "odbl":
            notes.append(
                f"{ingredient.what} ({declared}): mention it wherever you share this model; databases stay ODbL."
            )
    if conflicts:
        raise LicenceError(_refusal(name, conflicts, of))
    return list(dict.fromkeys(notes))


def _refusal(name: str, conflicts: Sequence[str], of: Sequence[Ingredient]) -> str:
    ingredient_terms = [terms for ingredient in of if (terms := terms_of(ingredient.licence))]
    used = [canonical(ingredient.licence) for ingredient in of]
    # The ingredients' own licenses come first: they are the most likely to fit, and for unusual terms the only ones.
    candidates = [entry for entry in dict.fromkeys((*used, *_COMMON, *HUB_LICENCES)) if entry in HUB_LICENCES]
    compatible = [
        entry
        for entry in candidates
        if entry not in ("other", "cc") and not any(_conflicts(entry, terms) for terms in ingredient_terms)
    ]
    if not all(terms.derivatives for terms in ingredient_terms):
        advice = "No license is compatible: train without the parts or recordings that allow no derivatives."
    elif compatible:
        advice = f"Compatible licenses: {', '.join(compatible[:_MOST_SUGGESTIONS])}."
    else:
        advice = "No license on the Hub's list is compatible: train without one of these parts or recordings."
    title = f"license {name!r} is not compatible with what this model is made of, {counted(len(conflicts), 'conflict')}"
    return f"{bulleted(title, conflicts)}\n{advice}"


def _conflicts(name: str, terms: Terms) -> list[str]:
    """List the reasons why a work derived from one with these terms cannot be shared under the license `name`."""
    shared = terms_of(name) or Terms(credit=False)  # `cc` and `other` guarantee nothing
    if not terms.derivatives:
        return ["it allows no derivatives, and a fine-tuned model is a derivative"]
    reasons = []
    if not terms.commercial and shared.commercial:
        reasons.append(f"it allows only non-commercial use, which {name} does not require")
    if terms.heirs is not None and name not in terms.heirs:
        reasons.append(f"{terms.kind} ({', '.join(sorted(terms.heirs)) or 'its own terms'})")
    elif terms.credit and not shared.credit:
        reasons.append(f"its notices or credit must be kept, but {name} does not require that")
    if name in terms.bars:
        reasons.append(f"it adds terms that {name} does not allow")
    return reasons


def _duties(terms: Terms) -> list[str]:
    """List what custom license terms must ensure for a work derived from one with these terms."""
    duties = [] if terms.commercial else ["its use stays non-commercial"]
    if terms.heirs is not None:
        duties.append("its license still applies to the model")
    elif terms.credit:
        duties.append("its notices and credit are kept")
    return duties
