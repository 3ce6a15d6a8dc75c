"""License terms: what each known license requires of derived works, by SPDX or Hub identifier."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["HUB_LICENCES", "Terms", "canonical", "terms_of"]


@dataclass(frozen=True)
class Terms:
    """Terms of a license for works derived from the licensed one.

    Attributes:
        credit: Whether notices or credit must be kept. For the license of the derived work: whether it requires that.
        commercial: Whether commercial use is allowed.
        derivatives: Whether derived works are allowed.
        heirs: The licenses that a derived work may have; None for any.
        bars: Licenses that a derived work may not have, although `heirs` is None.
        kind: Reason for `heirs`, in words.
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
# Derived works must carry the same use restrictions, and no other license on the list has the same ones.
_RESTRICTED = (
    "openrail openrail++ bigscience-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m creativeml-openrail-m "
    "llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma grok2-community apple-ascl"
)
_RESEARCH = "deepfloyd-if-license apple-amlr intel-research h-research fair-noncommercial-research-license"
# For each license, those that its own text allows for derived works: LGPL 2.1 section 3, GPL 3.0 section 13, MPL 2.0
# section 3.3, EPL 1.0 section 7, EUPL 1.1 section 13. An identifier without a version allows only itself.
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
# creativecommons.org/compatiblelicenses: a later version of the same license; BY-SA 4.0 also allows the GPL v3.
_SHARE_ALIKE = {
    "cc-by-sa": ("cc-by-sa-3.0", "cc-by-sa-4.0"),
    "cc-by-nc-sa": ("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
}
# gnu.org/licenses/license-list.html: the licenses on the right forbid further restrictions, such as the patent clauses
# of those on the left.
_BARS = {
    "apache-2.0": "gpl-2.0 lgpl-2.1",
    "ecl-2.0": "gpl-2.0 lgpl-2.1",
    "afl-3.0": "gpl gpl-2.0 gpl-3.0 agpl-3.0 lgpl lgpl-2.1 lgpl-3.0",
}
# C-UDA and CDLA put no terms on results computed from the data, such as models.
_DATA_ONLY = {"c-uda", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0"}
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
    """Normalize an SPDX identifier to the Hub's spelling.

    The result is lower case, without `-only` and without a Creative Commons country suffix. `-or-later` is kept if
    vczoo knows terms for it.
    """
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
    """Return the terms of a license by its SPDX or Hub identifier; None if they are not known."""
    name = canonical(licence)
    if name in _DATA_ONLY:
        return Terms(credit=False)
    if name in _NO_TERMS.split():
        return Terms(credit=False)
    if name in _NOTICE.split():
        return Terms(bars=frozenset(_BARS.get(name, "").split()))
    if name in _COPYLEFT:
        return Terms(heirs=frozenset(_COPYLEFT[name].split()), kind="copyleft: derived works keep its license")
    if name in _RESTRICTED.split():
        return Terms(heirs=frozenset({name}), kind="derived works must keep its use restrictions")
    if name in _RESEARCH.split():
        return Terms(commercial=False, heirs=frozenset({name}), kind="derived works must keep its terms")
    if name == "licenseref-non-commercial":
        return Terms(commercial=False)
    parts = re.fullmatch(r"(cc-by(?:-nc)?(?:-nd|-sa)?)-(\d\.\d)", name)
    if not parts:
        return None
    family, version = parts.groups()
    heirs = None
    if family in _SHARE_ALIKE:
        later = {heir for heir in _SHARE_ALIKE[family] if heir.rpartition("-")[2] >= version and version != "1.0"}
        heirs = frozenset(later | ({"gpl-3.0"} if name == "cc-by-sa-4.0" else set()))
    return Terms(
        commercial="-nc" not in family,
        derivatives="-nd" not in family,
        heirs=heirs,
        kind="share-alike: derived works keep its license or a later version of it",
    )
