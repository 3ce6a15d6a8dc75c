"""An SPDX or Hub identifier of a licence in; what it asks of what is made from its work, as far as it is known, out."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["HUB_LICENCES", "Terms", "canonical", "terms_of"]


@dataclass(frozen=True)
class Terms:
    """What a licence asks of what is made from its work.

    Attributes:
        credit: notices or credit are to be kept; of a model's own licence, that it sees to that.
        commercial, derivatives: what it allows.
        heirs: the licences that what is made from it may have; None for any.
        bars: licences that it does not go under, though it has no heirs.
        kind: how `heirs` came about, in words.
    """

    credit: bool = True
    commercial: bool = True
    derivatives: bool = True
    heirs: frozenset[str] | None = None
    bars: frozenset[str] = frozenset()
    kind: str = ""


_NO_TERMS = "cc0-1.0 pddl unlicense wtfpl cdla-permissive-2.0"
_NOTICE = (
    "apache-2.0 mit bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear isc zlib ncsa postgresql bsl-1.0 afl-3.0 "
    "artistic-2.0 ecl-2.0 lppl-1.3c etalab-2.0 odc-by odbl openmdw-1.0 c-uda cdla-permissive-1.0 cdla-sharing-1.0"
)
_CREATIVE_COMMONS = (
    "cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 "
    "cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0"
)
# Their restrictions on use must be passed on, and no other licence of the list has the same ones.
_RESTRICTED = (
    "openrail openrail++ bigscience-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m creativeml-openrail-m "
    "llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma grok2-community apple-ascl"
)
_RESEARCH = "deepfloyd-if-license apple-amlr intel-research h-research fair-noncommercial-research-license"
# What is made from the one may be shared under the others, by the licence's own words: LGPL 2.1 section 3, GPL 3.0
# section 13, MPL 2.0 section 3.3, EPL 1.0 section 7, EUPL 1.1 section 13. A family without a version stays itself.
_COPYLEFT = {
    "gpl": "gpl",
    "gpl-2.0": "gpl-2.0",
    "gpl-2.0-or-later": "gpl-2.0 gpl-3.0 agpl-3.0",
    "gpl-3.0": "gpl-3.0 agpl-3.0",
    "agpl-3.0": "agpl-3.0",
    "lgpl": "lgpl",
    "lgpl-2.1": "lgpl-2.1 gpl-2.0 gpl-3.0 agpl-3.0",
    "lgpl-2.1-or-later": "lgpl-2.1 lgpl-3.0 gpl-2.0 gpl-3.0 agpl-3.0",
    "lgpl-3.0": "lgpl-3.0 gpl-3.0 agpl-3.0",
    "lgpl-lr": "lgpl-lr",
    "mpl-2.0": "mpl-2.0 lgpl-2.1 lgpl-3.0 gpl-2.0 gpl-3.0 agpl-3.0",
    "epl-1.0": "epl-1.0 epl-2.0",
    "epl-2.0": "epl-2.0",
    "eupl-1.1": "eupl-1.1 eupl-1.2",
    "eupl-1.2": "eupl-1.2",
    "osl-3.0": "osl-3.0",
    "ms-pl": "ms-pl",
    "gfdl": "gfdl",
    "ofl-1.1": "ofl-1.1",
}
# creativecommons.org/compatiblelicenses: a later version of the same licence; BY-SA 4.0 also goes under the GPL v3.
_SHARE_ALIKE = {
    "cc-by-sa": ("cc-by-sa-3.0", "cc-by-sa-4.0"),
    "cc-by-nc-sa": ("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
}
# gnu.org/licenses/license-list.html: their patent and other clauses are further restrictions to these.
_BARS = {
    "apache-2.0": "gpl-2.0 lgpl-2.1",
    "ecl-2.0": "gpl-2.0 lgpl-2.1",
    "afl-3.0": "gpl gpl-2.0 gpl-3.0 agpl-3.0 lgpl lgpl-2.1 lgpl-3.0",
}
# C-UDA and CDLA say that they lay no terms on what is computed from the data: on a model, say.
_OF_DATA_ALONE = {"c-uda", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0"}
_ALIASES = {
    "0bsd": "unlicense",
    "public-domain": "unlicense",
    "public domain": "unlicense",
    "licenseref-public-domain": "unlicense",
    "odc-by-1.0": "odc-by",
    "odbl-1.0": "odbl",
    "pddl-1.0": "pddl",
    "c-uda-1.0": "c-uda",
}

# huggingface.co/docs/hub/repositories-licenses.
HUB_LICENCES = tuple(
    f"{_NOTICE} {_NO_TERMS} cc {_CREATIVE_COMMONS} {_RESTRICTED} {_RESEARCH} other unknown".split()
) + tuple(name for name in _COPYLEFT if not name.endswith("-or-later"))


def canonical(licence: str) -> str:
    """An SPDX identifier as the Hub spells it: lower case; no `-only`, no port, `-or-later` where it matters."""
    name = licence.strip().lower()
    name = _ALIASES.get(name, name)
    if name.endswith("+") and name != "openrail++":
        name = f"{name[:-1]}-or-later"
    if name.endswith("-or-later") and name not in _COPYLEFT:
        name = name.removesuffix("-or-later")
    if re.fullmatch(r"gfdl-1\.[123]", name := name.removesuffix("-only")):
        return "gfdl"
    port = re.fullmatch(r"(cc-by(?:-nc)?(?:-sa|-nd)?-\d\.\d)(?:-[a-z]{2,3}){1,2}", name)
    return port[1] if port else name


def terms_of(licence: str) -> Terms | None:
    """The terms of an SPDX or Hub identifier; None where they are not known."""
    name = canonical(licence)
    if name in _OF_DATA_ALONE:
        return Terms(credit=False)
    if name in _NO_TERMS.split():
        return Terms(credit=False)
    if name in _NOTICE.split():
        return Terms(bars=frozenset(_BARS.get(name, "").split()))
    if name in _COPYLEFT:
        return Terms(heirs=frozenset(_COPYLEFT[name].split()), kind="what is made from it stays under its licence")
    if name in _RESTRICTED.split():
        return Terms(heirs=frozenset({name}), kind="its restrictions on use must be passed on")
    if name in _RESEARCH.split():
        return Terms(commercial=False, heirs=frozenset({name}), kind="its terms must be passed on")
    if name == "licenseref-non-commercial":
        return Terms(commercial=False)
    parts = re.fullmatch(r"(cc-by(?:-nc)?(?:-nd|-sa)?)-(\d\.\d)", name)
    if not parts:
        return None
    family, version = parts.groups()
    heirs = None
    if family in _SHARE_ALIKE:
        later = {one for one in _SHARE_ALIKE[family] if one.rpartition("-")[2] >= version and version != "1.0"}
        heirs = frozenset(later | ({"gpl-3.0"} if name == "cc-by-sa-4.0" else set()))
    return Terms(
        commercial="-nc" not in family,
        derivatives="-nd" not in family,
        heirs=heirs,
        kind="share-alike: what is made from it keeps its licence, or a later version of it",
    )
