"""Which factors the DSC depends on: least squares with robust errors, and beside it a mixed model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.regression.linear_model import OLS
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.outliers_influence import variance_inflation_factor

from lib.evaluation.design import Column, Design, Row, design_of
from lib.evaluation.figures import MixedModel, Regression, Term
from lib.evaluation.report import CaseResult
from lib.evaluation.results import MASS_REGION, region_of

SIZE, SEQUENCE, EVERY = "size", "sequence", "all"
UNITS = {SIZE: "mm", "age": "year"}
FEWEST_PER_TERM = 5  # images for each coefficient
_FEWEST_COLUMNS = 2  # the intercept and one more
_FEWEST_PATIENTS = 5  # for a variance between patients
_ALONE = 1 - 1e-8  # leverage of an image that determines a coefficient on its own
_ONE_EACH = "no patient has more than one image here"


def regression(cases: Sequence[CaseResult], *, sequence: str, factors: Sequence[str], confidence: float) -> Regression:
    """Fit the DSC of the mass on size and columns.

    Args:
        cases: Of one sequence, or of all: the sequence is then a factor too.
        sequence: Its code, or EVERY.
        factors: Columns that the cases carry.
        confidence: Level of intervals.
    """
    names = (*([SEQUENCE] if sequence == EVERY else []), SIZE, *(name for name in factors if name != SEQUENCE))
    rows = [
        Row(
            image_id=case.image_id,
            patient=case.patient,
            outcome=score.dice or 0.0,
            factors={**case.factors, SEQUENCE: case.sequence, SIZE: "" if case.size_mm is None else repr(case.size_mm)},
        )
        for case in cases
        if (score := region_of(case, MASS_REGION))
    ]
    design = design_of(rows, names)
    refused = _refusal(design)
    if refused:
        nothing = MixedModel(fitted=False, reason=refused)
        return Regression(
            sequence=sequence,
            status="not_fitted",
            reason=refused,
            factors=names,
            n=len(design.rows),
            excluded=len(rows) - len(design.rows),
            dropped=design.dropped,
            mixed=nothing,
        )
    return _fitted(design, sequence, names, len(rows) - len(design.rows), confidence)


def _refusal(design: Design) -> str:
    """Why a design cannot be fitted; empty when it can."""
    needed = FEWEST_PER_TERM * max(len(design.columns), _FEWEST_COLUMNS)
    if len(design.rows) < needed or len(design.columns) < _FEWEST_COLUMNS:
        return (
            f"{len(design.rows)} images know every factor and share each level with others, for {len(design.columns)} "
            f"coefficients; expected at least {needed} images and {_FEWEST_COLUMNS} coefficients: name fewer factors"
        )
    if len({row.outcome for row in design.rows}) == 1:
        return "the DSC of every image is the same: nothing to explain"
    if _leverage(design.matrix).max() > _ALONE:
        return "an image determines a coefficient on its own, so no robust error can be given: name fewer factors"
    return ""


def _leverage(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    q, _ = np.linalg.qr(matrix)
    leverage: NDArray[np.float64] = (q**2).sum(axis=1)
    return leverage


def _fitted(design: Design, sequence: str, names: tuple[str, ...], excluded: int, confidence: float) -> Regression:
    outcome = np.array([row.outcome for row in design.rows])
    fit = OLS(outcome, design.matrix).fit(cov_type="HC3", use_t=True)
    return Regression(
        sequence=sequence,
        status="reduced" if design.dropped else "fitted",
        reason=_reason(design, sequence),
        factors=names,
        n=len(design.rows),
        excluded=excluded,
        mixed=_mixed(design, outcome, confidence),
        terms=terms(fit, design.columns, confidence, _inflation(design.matrix)),
        dropped=design.dropped,
        r2=float(fit.rsquared),
        r2_adjusted=float(fit.rsquared_adj),
        residual_df=int(fit.df_resid),
        condition_number=float(fit.condition_number),
        image_ids=tuple(row.image_id for row in design.rows),
        fitted=tuple(fit.fittedvalues.tolist()),
        residuals=tuple(fit.resid.tolist()),
    )


def _reason(design: Design, sequence: str) -> str:
    said = ["least squares with HC3 errors"]
    if sequence == EVERY:
        said.append("images of one patient are taken for independent, which the mixed model does not do")
    if design.dropped:
        said.append("dropped, as other terms determine them: " + ", ".join(design.dropped))
    if design.constant:
        said.append("left out, as they do not vary: " + ", ".join(design.constant))
    return "; ".join(said)


def _inflation(matrix: NDArray[np.float64]) -> list[float | None]:
    """Variance inflation of each column but the intercept, which comes first."""
    return [None, *(float(variance_inflation_factor(matrix, index)) for index in range(1, matrix.shape[1]))]


def terms(
    fit: Any, columns: Sequence[Column], confidence: float, inflation: Sequence[float | None]
) -> tuple[Term, ...]:
    """Coefficients of a fitted model of statsmodels, in the order of its columns."""
    limits = np.asarray(fit.conf_int(alpha=1 - confidence))
    return tuple(
        Term(
            name=column.name,
            factor=column.factor,
            estimate=float(np.asarray(fit.params)[index]),
            se=_finite(np.asarray(fit.bse)[index]),
            low=_finite(limits[index, 0]),
            high=_finite(limits[index, 1]),
            p=_finite(np.asarray(fit.pvalues)[index]),
            reference=column.reference,
            unit=UNITS.get(column.name, ""),
            vif=inflation[index],
        )
        for index, column in enumerate(columns)
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mixed(design: Design, outcome: NDArray[np.float64], confidence: float) -> MixedModel:
    """A random intercept for each patient; what the optimiser complained of is told in ``reason``."""
    patients = [row.patient for row in design.rows]
    count = len(set(patients))
    if count == len(patients) or count < _FEWEST_PATIENTS:
        reason = _ONE_EACH if count == len(patients) else f"{count} patients; expected at least {_FEWEST_PATIENTS}"
        return MixedModel(fitted=False, reason=reason, n=len(patients), patients=count)
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        try:
            fit = MixedLM(outcome, design.matrix, groups=patients).fit(reml=True)
        except np.linalg.LinAlgError:
            return MixedModel(fitted=False, reason="the matrix is singular", n=len(patients), patients=count)
        found = terms(fit, design.columns, confidence, [None] * len(design.columns))
    if not fit.converged:
        return MixedModel(fitted=False, reason="the fit did not converge", n=len(patients), patients=count)
    said = "; ".join(sorted({str(one.message) for one in complaints}))
    return MixedModel(
        fitted=True,
        reason="random intercept for each patient, REML" + (f"; {said}" if said else ""),
        n=len(patients),
        patients=count,
        terms=found,
        patient_sd=float(np.sqrt(max(float(np.asarray(fit.cov_re)[0, 0]), 0.0))),
        residual_sd=float(np.sqrt(fit.scale)),
    )
