"""A proposal that will disappoint is flagged, and the reader is told why."""

from dataclasses import replace

import numpy as np
import pytest

from lib.domain.errors import BadWeightsError
from lib.domain.evidence import MassEvidence, ProposalEvidence
from lib.loop.trust import TRUST, TrustModel, expected_dice, judge, mass_confidence, trust_note, trust_of
from lib.loop.trust_fit import Judged, JudgedMasses, adjusted, fit_trust

GOOD = ProposalEvidence(masses=1, mass_ml=8.0, overlap=0.9, confidence=0.95, surest=0.99, doubt_ml=1.0, kidneys=2)
POOR = replace(GOOD, mass_ml=0.3, overlap=0.1, confidence=0.4)
NONE = ProposalEvidence(masses=0, mass_ml=0.0, overlap=0.0, confidence=0.0, surest=0.05, doubt_ml=0.2, kidneys=2)
HALF_SEEN = replace(NONE, surest=0.45, doubt_ml=9.0)


@pytest.fixture(scope="module")
def judged() -> list[tuple[ProposalEvidence, float]]:
    """Proposals whose Dice follows the overlap, and others without a mass, right unless one was half seen."""
    rng = np.random.default_rng(2)
    with_mass = [
        (replace(GOOD, overlap=overlap, confidence=0.4 + overlap / 2, mass_ml=rng.uniform(0.2, 20)), overlap)
        for overlap in rng.uniform(0.05, 0.95, 200)
    ]
    without = [(replace(NONE, surest=surest), float(surest < 0.25)) for surest in rng.uniform(0.01, 0.5, 50)]
    return with_mass + without


@pytest.fixture(scope="module")
def masses() -> list[tuple[MassEvidence, float]]:
    """Masses that are right as often as half of their mean probability says, small ones less."""
    rng = np.random.default_rng(3)
    found = []
    for probability in rng.uniform(0.4, 1.0, 400):
        volume_ml = float(rng.choice([0.1, 10.0]))
        found.append(
            (MassEvidence(probability=probability, volume_ml=volume_ml), probability / (2 if volume_ml > 1 else 8))
        )
    return found


@pytest.fixture(scope="module")
def model(judged: Judged, masses: JudgedMasses) -> TrustModel:
    return fit_trust(judged, masses)


def test_the_confidence_of_a_mass_is_the_share_of_it_that_is_right(model: TrustModel, masses: JudgedMasses) -> None:
    stated = np.mean([abs(evidence.probability - right) for evidence, right in masses])
    restated = np.mean([abs(mass_confidence(evidence, model) - right) for evidence, right in masses])
    assert restated < 0.06 < 0.4 < stated


def test_without_an_assessment_a_mass_is_as_sure_as_its_voxels() -> None:
    assert mass_confidence(MassEvidence(probability=0.7, volume_ml=1.0), None) == 0.7


def test_the_expected_dice_follows_the_dice(model: TrustModel, judged: Judged) -> None:
    off = [abs(expected_dice(evidence, model) - dice) for evidence, dice in judged if evidence.masses]
    assert np.mean(off) < 0.05


def test_a_fifth_of_what_it_was_fitted_on_is_flagged(model: TrustModel, judged: Judged) -> None:
    assert np.mean([judge(evidence, model).distrust for evidence, _ in judged]) == pytest.approx(0.2, abs=0.01)


def test_a_poor_proposal_is_flagged_with_its_reason_and_a_good_one_is_not(model: TrustModel) -> None:
    good, poor = judge(GOOD, model), judge(POOR, model)
    assert (good.distrust, good.reason) == (False, "")
    assert poor.distrust
    assert poor.reason.startswith(f"expected mass Dice {poor.expected_dice:.2f}, below {model.threshold:.2f}: ")


def test_no_mass_is_trusted_less_when_one_was_half_seen(model: TrustModel) -> None:
    assert expected_dice(HALF_SEEN, model) < 0.3 < 0.7 < expected_dice(NONE, model)


def test_the_reason_of_a_flag_without_a_mass_says_so(model: TrustModel) -> None:
    assert "no mass is proposed" in judge(HALF_SEEN, replace(model, threshold=0.9)).reason


def test_the_reason_tells_that_a_kidney_was_not_found(model: TrustModel) -> None:
    assert judge(replace(POOR, kidneys=1), model).reason.endswith("1 of two kidneys found")
    assert "kidneys" not in judge(POOR, model).reason


def test_a_network_that_was_never_assessed_expects_nothing_and_flags_nothing() -> None:
    trust = judge(POOR, trust_of({"version": "1"}))
    assert (trust.expected_dice, trust.distrust, trust.reason) == (None, False, "")


def test_the_note_in_the_weight_file_brings_the_model_back(model: TrustModel) -> None:
    assert trust_of({TRUST: trust_note(model)}) == model


@pytest.mark.parametrize("note", ["", "[]", '{"threshold": 0.4}', "null"])
def test_a_damaged_note_is_refused(note: str) -> None:
    with pytest.raises(BadWeightsError, match="with_mass, without, one_mass, threshold"):
        trust_of({TRUST: note})


def test_a_note_that_lacks_a_number_is_refused(model: TrustModel) -> None:
    note = trust_note(model).replace('"confidence"', '"luck"')
    with pytest.raises(BadWeightsError):
        trust_of({TRUST: note})


def test_a_retrained_network_that_does_better_is_expected_to(model: TrustModel, judged: Judged) -> None:
    better = [(evidence, min(1.0, dice + 0.2)) for evidence, dice in judged if evidence.masses]
    few, many = (adjusted(model, better[:count], []) for count in (5, 200))
    before, little, much = (expected_dice(POOR, one) for one in (model, few, many))
    assert before < little < much
    assert few.threshold == model.threshold


def test_without_validation_images_nothing_is_adjusted(model: TrustModel) -> None:
    assert adjusted(model, [], []) == model


def test_one_kind_of_proposal_alone_can_be_fitted(judged: Judged) -> None:
    only = fit_trust([row for row in judged if row[0].masses], [])
    assert 0 < expected_dice(NONE, only) < 1


def test_nothing_to_fit_to_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fit_trust([], [])
