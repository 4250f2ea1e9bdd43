"""The linear model against certified results, its robust errors against their formula, and designs that fail."""

import numpy as np
import pytest
from statsmodels.datasets import longley
from statsmodels.regression.linear_model import OLS

from lib.evaluation import regression as module
from lib.evaluation.design import Row, design_of
from lib.evaluation.regression import EVERY, regression

LONGLEY = ("GNPDEFL", "GNP", "UNEMP", "ARMED", "POP", "YEAR")


def longley_rows() -> list[Row]:
    data = longley.load_pandas().data
    return [
        Row(
            image_id=str(number),
            patient=number,
            outcome=float(row["TOTEMP"]),
            factors={name: repr(float(row[name])) for name in LONGLEY},
        )
        for number, row in data.iterrows()
    ]


def test_coefficients_are_those_certified_by_nist() -> None:
    """Longley's data, StRD of the National Institute of Standards and Technology; six factors that nearly repeat."""
    design = design_of(longley_rows(), LONGLEY)
    fitted = module._fitted(design, "CP", LONGLEY, 0, 0.95)
    estimates = {term.name: term.estimate for term in fitted.terms}
    assert estimates == pytest.approx(
        {
            "intercept": -3482258.63459582,
            "GNPDEFL": 15.0618722713733,
            "GNP": -0.358191792925910e-01,
            "UNEMP": -2.02022980381683,
            "ARMED": -1.03322686717359,
            "POP": -0.511041056535807e-01,
            "YEAR": 1829.15146461355,
        },
        rel=1e-6,
    )
    assert fitted.r2 == pytest.approx(0.995479004577296, rel=1e-9)
    assert fitted.residual_df == 9


def test_variance_inflation_is_the_published_one() -> None:
    design = design_of(longley_rows(), LONGLEY)
    assert module._inflation(design.matrix)[1:] == pytest.approx([135.5, 1788.5, 33.6, 3.59, 399.2, 759.0], rel=2e-3)


def test_errors_are_robust_by_their_formula() -> None:
    """HC3: (X'X)^-1 X' diag(e / (1 - h))^2 X (X'X)^-1, on errors that grow with x."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, 80)
    rows = [
        Row(image_id=str(i), patient=i, outcome=float(one + rng.normal(0, one)), factors={"size": repr(float(one))})
        for i, one in enumerate(x)
    ]
    design = design_of(rows, ["size"])
    fitted = module._fitted(design, "CP", ("size",), 0, 0.95)
    matrix, inverse = design.matrix, np.linalg.inv(design.matrix.T @ design.matrix)
    leverage = np.einsum("ij,jk,ik->i", matrix, inverse, matrix)
    scaled = (np.array(fitted.residuals) / (1 - leverage)) ** 2
    expected = np.sqrt(np.diag(inverse @ (matrix.T * scaled) @ matrix @ inverse))
    assert [term.se for term in fitted.terms] == pytest.approx(expected.tolist())
    plain = OLS([row.outcome for row in rows], matrix).fit()
    assert fitted.terms[1].se != pytest.approx(plain.bse[1], rel=0.02)


def planted(case, patients: int = 60, codes: tuple[str, ...] = ("CP",), seed: int = 0) -> list:
    """Cases whose DSC rises by 0.01 a millimetre and falls by 0.2 on Philips; patients differ by 0.1."""
    rng = np.random.default_rng(seed)
    cases = []
    for patient in range(1, patients + 1):
        size, vendor, own = rng.uniform(10, 40), ("GE", "Philips")[patient % 2], rng.normal(0, 0.1)
        for code in codes:
            dice = 0.3 + 0.01 * size - 0.2 * (vendor == "Philips") + own + rng.normal(0, 0.02)
            cases.append(case(patient, sequence=code, dice=dice, size_mm=size, vendor=vendor, centre=f"of {vendor}"))
    return cases


@pytest.mark.parametrize(("codes", "sequence"), [(("CP",), "CP"), (("CP", "NP", "DP"), EVERY)])
def test_planted_effects_lie_in_the_intervals(case, codes: tuple[str, ...], sequence: str) -> None:
    """Of least squares for one image a patient, of the mixed model for three."""
    found = regression(planted(case, codes=codes), sequence=sequence, factors=["vendor"], confidence=0.99)
    assert found.status == "fitted"
    terms = {term.name: term for term in (found.mixed.terms if found.mixed.fitted else found.terms)}
    assert found.mixed.fitted is (sequence == EVERY)
    assert terms["size"].low < 0.01 < terms["size"].high
    assert terms["vendor: Philips"].low < -0.2 < terms["vendor: Philips"].high
    assert terms["vendor: Philips"].reference == "GE"


def test_patients_are_told_from_noise_by_the_mixed_model(case) -> None:
    cases = planted(case, codes=("CP", "NP", "DP"))
    mixed = regression(cases, sequence=EVERY, factors=["vendor"], confidence=0.95).mixed
    assert (mixed.n, mixed.patients) == (180, 60)
    assert mixed.patient_sd == pytest.approx(0.1, abs=0.03)
    assert mixed.residual_sd == pytest.approx(0.02, abs=0.005)


def test_a_factor_that_another_determines_is_dropped_and_said(case) -> None:
    found = regression(planted(case), sequence="CP", factors=["vendor", "centre"], confidence=0.95)
    assert found.status == "reduced"
    assert found.dropped == ("centre: of Philips",)
    assert "centre: of Philips" in found.reason
    alone = regression(planted(case), sequence="CP", factors=["vendor"], confidence=0.95)
    assert [term.estimate for term in found.terms] == pytest.approx([term.estimate for term in alone.terms])


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        (lambda case: [case(1)], "expected at least"),
        (lambda case: [case(n, found=[]) for n in range(30)], "0 images"),
        (lambda case: [case(n, dice=0.5, size_mm=n + 1.0) for n in range(30)], "the same"),
        (lambda case: planted(case, patients=8), "8 images"),
    ],
)
def test_a_design_that_cannot_be_fitted_is_reported(case, cases, said: str) -> None:
    found = regression(cases(case), sequence="CP", factors=["vendor"] if "8" in said else [], confidence=0.95)
    assert found.status == "not_fitted"
    assert said in found.reason
    assert not found.mixed.fitted


def test_images_with_an_unknown_value_or_a_rare_level_are_counted_out(case) -> None:
    cases = [*planted(case), case(90, vendor="", centre=""), case(91, vendor="Canon", centre="x")]
    found = regression(cases, sequence="CP", factors=["vendor"], confidence=0.95)
    assert (found.n, found.excluded) == (60, 2)


def test_the_order_of_cases_changes_no_coefficient(case) -> None:
    cases = planted(case)
    one, other = (regression(some, sequence="CP", factors=["vendor"], confidence=0.95) for some in (cases, cases[::-1]))
    assert [term.estimate for term in one.terms] == pytest.approx([term.estimate for term in other.terms])


def test_one_image_a_patient_leaves_nothing_to_mix(case) -> None:
    found = regression(planted(case), sequence="CP", factors=["vendor"], confidence=0.95)
    assert not found.mixed.fitted
    assert "more than one image" in found.mixed.reason
