"""app.model.terms: what the transport spells for itself, since it knows nothing of the app, is the same."""

from typing import get_args

from app.model import terms
from app.report.trace import CandidateKind, PathState
from transport.ice import candidates
from transport.nat.compatibility import Technique
from transport.path import path, stats
from transport.traversal import events


def test_app_and_transport_spell_the_same() -> None:
    assert get_args(terms.PathKind) == get_args(stats.PathKind)
    assert get_args(terms.PhaseOutcome) == get_args(events.PhaseOutcome)
    assert {technique.value for technique in Technique} < set(get_args(terms.PhaseName))
    sent = {kind.value for kind in candidates.CandidateKind if kind is not candidates.CandidateKind.PEER_REFLEXIVE}
    assert set(get_args(CandidateKind)) == sent
    assert set(get_args(PathState)) == {state.value for state in path.State}
