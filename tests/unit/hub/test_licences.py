from __future__ import annotations

import pytest

from vczoo.errors import LicenceError
from vczoo.hub.consent import DATASETS, STATEMENTS, parse_consent
from vczoo.hub.license_terms import terms_of
from vczoo.hub.licenses import HUB_LICENCES, Ingredient, check_licence, hub_licence

OPEN = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "gpl-3.0", "openrail")

# What a model is made of, what it may be shared under, and what it may not.
PAIRS = [
    ("CC0-1.0", (*OPEN, "cc0-1.0", "unlicense"), ()),
    ("LicenseRef-public-domain", (*OPEN, "wtfpl"), ()),
    ("MIT", (*OPEN, "gpl-2.0"), ("cc0-1.0", "unlicense", "wtfpl", "pddl")),
    ("BSD-3-Clause", (*OPEN, "bsd-3-clause"), ("cc0-1.0",)),
    ("Apache-2.0", OPEN, ("cc0-1.0", "gpl-2.0", "lgpl-2.1")),
    ("cc-by-4.0", OPEN, ("cc0-1.0", "unlicense", "wtfpl")),
    ("CC-BY-3.0-AT", OPEN, ("cc0-1.0",)),
    ("CC-BY-NC-4.0", ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-3.0"), ("apache-2.0", "cc-by-4.0", "gpl-3.0")),
    ("CC-BY-SA-3.0", ("cc-by-sa-3.0", "cc-by-sa-4.0"), ("cc-by-4.0", "gpl-3.0", "cc-by-nc-sa-4.0", "apache-2.0")),
    ("CC-BY-SA-4.0", ("cc-by-sa-4.0", "gpl-3.0"), ("cc-by-sa-3.0", "agpl-3.0", "gpl-2.0", "mit")),
    ("CC-BY-SA-2.0-UK", ("cc-by-sa-3.0", "cc-by-sa-4.0"), ("cc-by-4.0",)),
    ("CC-BY-NC-SA-3.0", ("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"), ("cc-by-nc-sa-2.0", "cc-by-nc-4.0", "cc-by-sa-4.0")),
    ("CC-BY-ND-4.0", (), (*OPEN, "cc-by-nd-4.0", "other")),
    ("CC-BY-NC-ND-3.0", (), ("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "other")),
    ("GPL-3.0-only", ("gpl-3.0", "agpl-3.0"), ("gpl-2.0", "lgpl-3.0", "apache-2.0", "cc-by-sa-4.0")),
    ("GPL-2.0-only", ("gpl-2.0",), ("gpl-3.0", "mit")),
    ("GPL-2.0-or-later", ("gpl-2.0", "gpl-3.0", "agpl-3.0"), ("mit",)),
    ("GPL-2.0+", ("gpl-2.0", "gpl-3.0"), ("mit",)),
    ("GPL-3.0-or-later", ("gpl-3.0", "agpl-3.0"), ("gpl-2.0",)),
    ("AGPL-3.0", ("agpl-3.0",), ("gpl-3.0", "mit")),
    ("LGPL-2.1-or-later", ("lgpl-2.1", "lgpl-3.0", "gpl-2.0", "gpl-3.0"), ("mit", "apache-2.0")),
    ("LGPL-2.1", ("lgpl-2.1", "gpl-2.0"), ("lgpl-3.0",)),
    ("MPL-2.0", ("mpl-2.0", "gpl-3.0"), ("mit",)),
    ("openrail", ("openrail",), ("mit", "creativeml-openrail-m")),
    ("CreativeML-OpenRAIL-M", ("creativeml-openrail-m",), ("apache-2.0", "openrail")),
    ("openrail++", ("openrail++",), ("mit",)),
    ("ODbL-1.0", ("apache-2.0", "odbl"), ("cc0-1.0",)),
    ("CDLA-Sharing-1.0", (*OPEN, "cc0-1.0"), ()),
    ("C-UDA-1.0", ("mit", "cc0-1.0"), ()),
    ("apple-amlr", ("apple-amlr",), ("mit", "cc-by-nc-4.0")),
    ("LicenseRef-non-commercial", ("cc-by-nc-4.0", "cc-by-nc-sa-4.0"), ("mit", "gpl-3.0")),
    ("unknown", (*OPEN, "cc0-1.0", "cc-by-nc-nd-4.0"), ()),
    ("", OPEN, ()),
]


@pytest.mark.parametrize(("of", "good", "bad"), PAIRS, ids=[pair[0] or "none" for pair in PAIRS])
def test_a_licence_goes_with_what_it_may_go_with_and_no_other(of, good, bad) -> None:
    made_of = [Ingredient("the base", of)]
    for licence in good:
        check_licence(licence, made_of)
    for licence in bad:
        with pytest.raises(LicenceError, match="is not compatible with"):
            check_licence(licence, made_of)


def test_every_conflict_is_told_with_its_reason_and_what_would_do() -> None:
    with pytest.raises(LicenceError) as caught:
        check_licence(
            "Apache-2.0",
            [
                Ingredient("backbone torchvision/vgg16, weights pretrained", "BSD-3-Clause"),
                Ingredient("vocoder mine", "CC-BY-NC-4.0"),
                Ingredient("recordings, kss", "cc-by-nc-sa-4.0"),
            ],
        )
    assert str(caught.value) == (
        "license 'apache-2.0' is not compatible with what this model is made of, 2 conflicts:\n"
        "  - vocoder mine (CC-BY-NC-4.0): it allows only non-commercial use, which apache-2.0 does not require\n"
        "  - recordings, kss (cc-by-nc-sa-4.0): it allows only non-commercial use, which apache-2.0 does not require; "
        "share-alike: derived works keep its license or a later version of it (cc-by-nc-sa-4.0)\n"
        "Compatible licenses: cc-by-nc-sa-4.0."
    )


def test_what_would_do_is_checked_against_all_that_is_known() -> None:
    made_of = [Ingredient("a", "GPL-3.0-only"), Ingredient("b", "CC-BY-SA-4.0"), Ingredient("c", "unknown")]
    with pytest.raises(LicenceError, match=r"Compatible licenses: gpl-3\.0\.$"):
        check_licence("mit", made_of)
    assert check_licence("gpl-3.0", made_of)
    with pytest.raises(LicenceError, match="train without one of these"):
        check_licence("mit", [Ingredient("a", "GPL-3.0-only"), Ingredient("b", "CC-BY-NC-4.0")])
    with pytest.raises(LicenceError, match="recordings that allow no derivatives"):
        check_licence("mit", [Ingredient("a", "MIT"), Ingredient("b", "CC-BY-ND-4.0")])


@pytest.mark.parametrize(
    ("licence", "hint"), [("apache2", "'apache-2.0'"), ("cc-by-nc", "'cc-by-nc"), ("gpl3", "'gpl")]
)
def test_a_licence_off_the_list_is_refused_with_the_nearest(licence, hint) -> None:
    with pytest.raises(LicenceError, match="not on the Hub's list; did you mean") as caught:
        check_licence(licence, [])
    assert hint in str(caught.value)


@pytest.mark.parametrize("licence", ["", "  ", "unknown", "Unknown"])
def test_nothing_is_shared_without_a_licence(licence) -> None:
    with pytest.raises(LicenceError, match=r"choose one|was given"):
        check_licence(licence, [])


def test_case_does_not_matter() -> None:
    assert hub_licence(" CC-BY-NC-SA-4.0 ") == "cc-by-nc-sa-4.0"


def test_other_says_to_read_the_card_and_what_its_terms_must_keep() -> None:
    notes = check_licence("other", [Ingredient("vocoder x", "CC-BY-NC-4.0"), Ingredient("base", "openrail")])
    assert "read its terms in the card" in notes[0]
    assert notes[1:] == [
        "vocoder x (CC-BY-NC-4.0): your own terms must ensure that its use stays non-commercial.",
        "vocoder x (CC-BY-NC-4.0): your own terms must ensure that its notices and credit are kept.",
        "base (openrail): your own terms must ensure that its license still applies to the model.",
    ]


def test_notes_tell_what_is_not_known_and_whose_credit_is_kept() -> None:
    made_of = [
        Ingredient("base", ""),
        Ingredient("vocoder", "Elastic-2.0"),
        Ingredient("recordings, vctk", "CC-BY-4.0"),
    ]
    assert check_licence("mit", [*made_of, *made_of, Ingredient("head", "MIT")]) == [
        "The license of base is unknown: check its terms before you rely on this model.",
        "The license of vocoder is Elastic-2.0, which vczoo cannot check: check its terms before you rely on this "
        "model.",
        "recordings, vctk (CC-BY-4.0): credit its authors wherever you share this model.",
    ]


@pytest.mark.parametrize("licence", [name for name in HUB_LICENCES if name not in ("cc", "other", "unknown")])
def test_the_terms_of_every_licence_of_the_list_are_known_and_allow_itself(licence) -> None:
    terms = terms_of(licence)
    assert terms is not None
    assert len(set(HUB_LICENCES)) == len(HUB_LICENCES)
    if terms.derivatives:
        check_licence(licence, [Ingredient("base", licence)])


@pytest.mark.parametrize("name", ["own-voice", "written-consent", "synthetic"])
def test_a_statement_of_consent_has_a_sentence(name) -> None:
    consent = parse_consent(f" {name} ")
    assert (consent.statement, consent.dataset, consent.licence, consent.hub_id) == (name, "", "", "")
    assert consent.sentence == STATEMENTS[name]


@pytest.mark.parametrize("name", ["librispeech", "LibriSpeech", "openslr/LibriSpeech_ASR"])
def test_a_dataset_is_known_by_its_name_and_by_its_id(name) -> None:
    consent = parse_consent(f"public-dataset:{name}")
    assert (consent.statement, consent.dataset) == (f"public-dataset:{name}", name)
    assert (consent.licence, consent.hub_id) == ("CC-BY-4.0", "openslr/librispeech_asr")
    assert "does not mean that its speakers consented" in consent.sentence


def test_of_a_dataset_that_is_not_known_no_licence_is_made_up() -> None:
    consent = parse_consent("public-dataset: somebody/speech")
    assert (consent.licence, consent.hub_id) == ("unknown", "somebody/speech")
    assert "a license unknown to vczoo" in consent.sentence
    assert parse_consent("public-dataset:Our village's archive").hub_id == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "Own-Voice",
        "own-voice:",
        "own-voice:me",
        "public-dataset",
        "public-dataset:",
        "public-dataset:<name>\n.",
        "public-dataset:" + "x" * 201,
        "synthetic, mostly",
    ],
)
def test_other_words_are_no_consent_and_the_four_are_explained(text) -> None:
    with pytest.raises(LicenceError) as caught:
        parse_consent(text)
    assert all(name in str(caught.value) and meaning in str(caught.value) for name, meaning in STATEMENTS.items())


@pytest.mark.parametrize("name", DATASETS)
def test_the_licence_of_every_dataset_can_be_checked(name) -> None:
    assert terms_of(DATASETS[name].licence) is not None
    assert parse_consent(f"public-dataset:{name}").licence == DATASETS[name].licence
