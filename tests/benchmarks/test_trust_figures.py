"""The figures on trust are those of the proposals they are made from."""

import numpy as np
import pytest

from benchmarks.trust_figures import auroc, recall_at

EXPECTED = np.array([0.1, 0.2, 0.3, 0.8, 0.9])
POOR = np.array([True, False, True, False, False])


@pytest.mark.parametrize(("rate", "found"), [(0.0, 0.0), (0.2, 0.5), (0.4, 0.5), (0.6, 1.0), (1.0, 1.0)])
def test_what_is_found_grows_with_the_share_that_is_flagged(rate: float, found: float) -> None:
    assert recall_at(EXPECTED, POOR, rate) == found


def test_the_auroc_counts_the_pairs_in_the_right_order() -> None:
    assert auroc(-EXPECTED, POOR) == pytest.approx(5 / 6)


def test_without_a_poor_proposal_there_is_no_auroc() -> None:
    assert np.isnan(auroc(EXPECTED, np.zeros(5, bool)))
