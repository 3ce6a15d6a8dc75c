"""A consent statement must not contradict the one that is recorded for the voices."""

from __future__ import annotations

import pytest

from vczoo.errors import LicenceError
from vczoo.hub.consent import parse_consent
from vczoo.hub.name import HubName
from vczoo.hub.recorded_consent import check_recorded
from vczoo.runs.config import Ancestor


def ancestor(consent: str) -> Ancestor:
    return Ancestor(kind="hub", name="alice/her-voice", revision="0123456789" * 4, consent=consent)


def check(statement: str, recorded: str, target: str = "me/copy") -> None:
    check_recorded(parse_consent(statement), recorded, [ancestor(recorded)], HubName.parse(target))


@pytest.mark.parametrize(
    ("statement", "recorded"),
    [
        ("own-voice", "written-consent"),
        ("own-voice", "public-dataset:vctk"),
        ("own-voice", "synthetic"),
        ("own-voice", "own-voice"),  # of another account
        ("synthetic", "written-consent"),
        ("public-dataset:vctk", "written-consent"),
        ("public-dataset:vctk", "public-dataset:ravdess"),
    ],
)
def test_a_contradiction_is_refused_and_names_what_is_recorded(statement: str, recorded: str) -> None:
    message = f"consent '{statement}' contradicts .* published as alice/her-voice@012345678901: '{recorded}'"
    with pytest.raises(LicenceError, match=message) as error:
        check(statement, recorded)
    assert "written-consent" in str(error.value)
    assert "--no-rehearse" in str(error.value)


@pytest.mark.parametrize(
    ("statement", "recorded", "target"),
    [
        ("own-voice", "", "me/copy"),
        ("own-voice", "own-voice", "alice/again"),
        ("written-consent", "written-consent", "me/copy"),
        ("written-consent", "own-voice", "me/copy"),
        ("public-dataset:vctk", "public-dataset:vctk", "me/copy"),
        ("synthetic", "synthetic", "me/copy"),
    ],
)
def test_what_does_not_contradict_is_accepted(statement: str, recorded: str, target: str) -> None:
    check(statement, recorded, target)


def test_a_statement_that_this_version_does_not_know_is_named_too() -> None:
    with pytest.raises(LicenceError, match="'by telephone'"):
        check("own-voice", "by telephone")
