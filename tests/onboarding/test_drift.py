"""The drift score is 1 where the training images end, and larger the more foreign an image is."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray

from lib.onboarding.drift import Style, drift_score, fit_style

WIDTH = 60


def images(count: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    """Features that vary along a few directions, with a little noise along all."""
    mixing = np.random.default_rng(99).normal(size=(4, WIDTH))
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 4)) @ mixing + rng.normal(0, 0.3, (count, WIDTH)) + shift


@pytest.fixture(scope="module")
def style() -> Style:
    return fit_style(images(80, 0))


def test_images_like_the_training_images_stay_within_the_limit(style: Style) -> None:
    scores = [drift_score(style, row) for row in images(300, 1)]
    assert 0.5 < np.median(scores) < 1
    assert np.mean(np.array(scores) > 1) < 0.05


def test_the_score_grows_with_the_shift(style: Style) -> None:
    medians = [np.median([drift_score(style, row) for row in images(30, 2, shift)]) for shift in (0, 0.5, 1, 2)]
    assert medians == sorted(medians)
    assert medians[-1] > 2


def test_a_shift_that_training_images_never_show_counts_more_than_one_that_they_do(style: Style) -> None:
    usual = np.random.default_rng(99).normal(size=(4, WIDTH))[0]
    unusual = np.random.default_rng(7).normal(size=WIDTH)
    unusual *= np.linalg.norm(usual) / np.linalg.norm(unusual)
    middle = images(1000, 3).mean(0)
    assert drift_score(style, middle + 2 * unusual) > 2 * drift_score(style, middle + 2 * usual)


def test_a_style_survives_its_file(style: Style) -> None:
    again = Style.from_json(json.loads(json.dumps(asdict(style))))
    assert again == style


def test_features_of_another_finder_are_refused(style: Style) -> None:
    with pytest.raises(ValueError, match="another finder"):
        drift_score(style, [0.0] * 7)
