"""Check of a consent statement against the one that is recorded for the voices of a run."""

from __future__ import annotations

from collections.abc import Sequence

from vczoo.errors import LicenceError
from vczoo.hub.consent import Consent, parse_consent
from vczoo.hub.name import HubName
from vczoo.runs.config import Ancestor
from vczoo.runs.lineage import hub_label

__all__ = ["check_recorded"]

OWN, WRITTEN = "own-voice", "written-consent"


def check_recorded(statement: Consent, recorded: str, lineage: Sequence[Ancestor], target: HubName) -> None:
    """Check that a statement does not contradict the recorded one.

    `written-consent` may follow any statement, because voices can be added and their speakers can agree. `own-voice` is
    what a publisher says of themselves, so it cannot be repeated under another account.

    Args:
        statement: The statement of the publisher.
        recorded: The statement that is recorded for the run's voices; empty if there is none.
        lineage: The runs that the run was made from, the nearest first.
        target: The repository to publish to.

    Raises:
        LicenceError: The statements contradict each other.
    """
    source = next((a for a in lineage if a.kind == "hub" and a.consent == recorded), None)
    owner, _, _ = (source.name if source else target.repository).partition("/")
    repeatable = recorded != OWN or target.repository.startswith(f"{owner}/")
    accepted = list(dict.fromkeys([*([recorded] if repeatable else []), WRITTEN]))
    if not recorded or statement.statement in accepted:
        return
    origin = f", published as {hub_label(source)}" if source else ""
    try:
        meaning = f" {parse_consent(recorded).sentence}"
    except LicenceError:  # written by another version of vczoo, or by hand
        meaning = ""
    raise LicenceError(
        f"consent {statement.statement!r} contradicts what is recorded for the voices of this run{origin}: "
        f"{recorded!r}.{meaning} Use {' or '.join(accepted)} if that is true of all its voices, or train a run with "
        "only your own voices (`vczoo train RUN --no-rehearse --data …`), and push that"
    )
