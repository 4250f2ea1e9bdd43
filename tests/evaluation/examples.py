"""An example of the report document with every kind of record in it, for tests of what is made from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib.evaluation.figures import (
    BlandAltman,
    DetectionResult,
    Estimate,
    FrocCurve,
    FrocPoint,
    MixedModel,
    PairedResult,
    Proportion,
    RegionResult,
    Regression,
    Subgroup,
    SubgroupLevel,
    SubgroupTest,
    Summary,
    Term,
)
from lib.evaluation.report import (
    SCHEMA_VERSION,
    AnySequenceResult,
    CaseResult,
    Comparison,
    Counts,
    Group,
    GroupResult,
    Options,
    PredictedMass,
    PredictionSource,
    Problem,
    Provenance,
    PublishedFact,
    ReferenceMass,
    RegionScore,
    Report,
)

CODES = ("T1WI", "T2WI", "CP", "NP", "DP")
GROUPS = {
    "all": "every image",
    "internal": "GE, the training centre",
    "external": "GE, other centres",
    "non-GE": "others",
}
CRITERIA = ("overlap", "iou", "centre")
MEASURES = ("dice", "surface_dice", "hd95_mm", "volume_error_ml", "volume_error_relative")


def example_report(patients: int = 12, codes: Sequence[str] = CODES) -> Report:
    """A report on made-up figures: every third patient external, every fourth non-GE, every fifth without a mass."""
    rng = np.random.default_rng(5)
    cases = tuple(_case(rng, number, code) for number in range(patients) for code in codes)
    return Report(
        schema_version=SCHEMA_VERSION,
        provenance=_provenance(),
        counts=Counts(
            images=len(cases) + 2,
            patients=patients,
            labelled=len(cases) + 1,
            predicted=len(cases),
            scored=len(cases),
            excluded=2,
            scored_patients=patients,
            masses=sum(len(case.masses) for case in cases),
        ),
        problems=(
            Problem(
                kind="missing_prediction",
                image_id="P0098_CP",
                seen="no file",
                expected="a prediction of each labelled image",
                effect="left out",
            ),
            Problem(
                kind="unlabelled", image_id="P0099_CP", seen="no label", expected="a final label", effect="left out"
            ),
        ),
        groups=tuple(_group(name, rule, cases) for name, rule in GROUPS.items()),
        results=tuple(_result(cases, code, group) for code in codes for group in GROUPS),
        any_sequence=tuple(
            AnySequenceResult(group=group, criterion=criterion, patients=_share(8, 10))
            for group in GROUPS
            for criterion in CRITERIA
        ),
        subgroups=tuple(_subgroup(code, factor) for code in codes for factor in ("size", "vendor")),
        regressions=tuple(_regression(code, cases) for code in ("all", *codes)),
        comparison=Comparison(
            images=len(cases),
            patients=patients,
            results=tuple(_paired(code, group) for code in codes for group in GROUPS),
        ),
        published=(
            PublishedFact(
                fact="median DSC on GE scanners",
                published="0.769 to 0.855",
                observed="0.41 to 0.72",
                comparable=False,
                why="other patients, labels and networks",
            ),
        ),
        cases=cases,
    )


def _provenance() -> Provenance:
    first, second = (
        PredictionSource(name=name, images=60, models={"CP": (f"CP-{number}",)}, sha256=f"{number}" * 64)
        for number, name in enumerate(("first", "second"), start=1)
    )
    return Provenance(
        software_version="0.1.0",
        metrics_version="1",
        libraries={"numpy": "2.4.6", "statsmodels": "0.15.0"},
        options=Options(seed=11, factors=("vendor",)),
        predictions=first,
        comparison=second,
        labels_sha256="a" * 64,
        patients_sha256="b" * 64,
        froc_score="volume_ml",
    )


def _groups_of(patient: int) -> tuple[str, ...]:
    origin = "non-GE" if patient % 4 == 0 else "external" if patient % 3 == 0 else "internal"
    return ("all", origin)


def _case(rng: np.random.Generator, patient: int, code: str) -> CaseResult:
    groups = _groups_of(patient)
    empty = patient % 5 == 4
    diameter = float(rng.uniform(8, 40))
    volume = 0.0 if empty else diameter**3 / 1900
    dice = 0.0 if diameter < 14 else float(rng.beta(6, 3))
    guess = float(rng.uniform(0.4, 2.6)) if empty else (0.0 if dice == 0 else volume * float(rng.uniform(0.6, 1.4)))
    score = RegionScore(
        dice=dice,
        surface_dice=dice,
        hd95_mm=None if dice == 0 else float(rng.uniform(1, 12)),
        reference_ml=volume,
        predicted_ml=guess,
        volume_error_ml=guess - volume,
        volume_error_relative=None if empty else guess / volume - 1,
    )
    found = dict.fromkeys(CRITERIA, guess if dice and not empty else None)
    mass = ReferenceMass(volume_ml=volume, diameter_mm=diameter, dice=dice, found_at=found)
    proposed = PredictedMass(volume_ml=guess, score=guess, finds=dict.fromkeys(CRITERIA, not empty))
    return CaseResult(
        image_id=f"P{patient:04}_{code}",
        patient=patient,
        sequence=code,
        groups=groups,
        factors={"vendor": "GE" if groups[1] != "non-GE" else "Siemens"},
        model_version=f"{code}-1",
        prediction="file",
        reference_sha256="c" * 64,
        prediction_sha256="d" * 64,
        size_mm=None if empty else diameter,
        regions={"mass": score, "mass_cyst": score, "kidney_mass_cyst": score},
        masses=() if empty else (mass,),
        predicted=(proposed,) if guess else (),
    )


def _group(name: str, rule: str, cases: Sequence[CaseResult]) -> Group:
    inside = [case for case in cases if name in case.groups]
    return Group(name=name, rule=rule, images=len(inside), patients=len({case.patient for case in inside}))


def summary_of(values: Sequence[float]) -> Summary:
    """A summary with made-up limits of the interval."""
    if not len(values):
        return Summary(n=0)
    q1, median, q3 = np.percentile(values, (25, 50, 75)).tolist()
    return Summary(
        n=len(values),
        mean=float(np.mean(values)),
        sd=float(np.std(values)) if len(values) > 1 else None,
        median=median,
        q1=q1,
        q3=q3,
        low=median - 0.05,
        high=median + 0.05,
    )


def _share(count: int, total: int) -> Proportion:
    rate = count / total if total else None
    return Proportion(count=count, total=total, rate=rate, low=rate and rate * 0.8, high=rate and min(1.0, rate * 1.1))


def _result(cases: Sequence[CaseResult], code: str, group: str) -> GroupResult:
    inside = [case for case in cases if case.sequence == code and group in case.groups]
    having = [case for case in inside if case.masses]
    dice = [case.masses[0].dice for case in having]
    found = sum(value > 0 for value in dice)
    false = len(inside) - len(having)
    errors = [case.regions["mass"].volume_error_ml for case in having]
    return GroupResult(
        sequence=code,
        group=group,
        images=len(inside),
        patients=len(inside),
        patients_with_mass=len(having),
        masses=len(having),
        detection=tuple(
            DetectionResult(
                criterion=criterion,
                masses=_share(found, len(having)),
                patients=_share(found, len(having)),
                false_positives=false,
                per_scan=Estimate(value=false / len(inside) if inside else None, low=0.1, high=0.4),
            )
            for criterion in CRITERIA
        ),
        froc=tuple(
            FrocCurve(
                criterion=criterion,
                points=tuple(
                    FrocPoint(
                        threshold=9.0 - step, sensitivity=step / 10, false_positives_per_scan=step**2 / 20 + lag / 9
                    )
                    for step in range(1, 9)
                ),
            )
            for lag, criterion in enumerate(CRITERIA)
        ),
        regions=tuple(
            RegionResult(region=region, measures=dict.fromkeys(MEASURES, summary_of(dice)))
            for region in ("kidney_mass_cyst", "mass_cyst", "mass")
        ),
        mass_dice=summary_of(dice),
        volume_agreement=BlandAltman(
            n=len(errors),
            bias=Estimate(value=float(np.mean(errors)) if errors else None),
            sd=float(np.std(errors)) if errors else None,
            lower=float(np.mean(errors) - 1.96 * np.std(errors)) if errors else None,
            upper=float(np.mean(errors) + 1.96 * np.std(errors)) if errors else None,
        ),
    )


def _subgroup(code: str, factor: str) -> Subgroup:
    levels = {"size": ("0-1 cm", "1-2 cm", "2-3 cm", "3-4 cm"), "vendor": ("GE", "Siemens")}[factor]
    return Subgroup(
        factor=factor,
        source="largest diameter in the label" if factor == "size" else "column of cohort.csv",
        unit="patient",
        sequence=code,
        levels=tuple(
            SubgroupLevel(
                level=level,
                images=4,
                patients=4,
                masses=4,
                dice=summary_of([0.2 + 0.1 * place, 0.4 + 0.1 * place, 0.6]),
                detection={name: _share(3, 4) for name in CRITERIA},
            )
            for place, level in enumerate(levels)
        ),
        tests=(
            SubgroupTest(outcome="dice", test="Kruskal-Wallis", n=12, levels=4, statistic=9.1, p=0.004, p_holm=0.016),
            SubgroupTest(outcome="detection", test="", n=12, levels=4, note="every patient was found"),
        ),
    )


def _regression(sequence: str, cases: Sequence[CaseResult]) -> Regression:
    rows = [case for case in cases if case.masses and sequence in ("all", case.sequence)]
    terms = (
        Term(name="intercept", factor="", estimate=0.41, se=0.05, low=0.31, high=0.51, p=0.0),
        Term(name="size", factor="size", estimate=0.011, se=0.002, low=0.007, high=0.015, p=0.0002, unit="mm", vif=1.2),
        Term(
            name="vendor: Siemens",
            factor="vendor",
            estimate=-0.1,
            se=0.1,
            low=-0.3,
            high=0.1,
            p=0.3,
            reference="GE",
            vif=1.2,
        ),
    )
    rng = np.random.default_rng(3)
    return Regression(
        sequence=sequence,
        status="fitted",
        reason="",
        factors=("size", "vendor"),
        n=len(rows),
        excluded=1,
        mixed=MixedModel(fitted=True, reason="", n=len(rows), patients=9, terms=terms, patient_sd=0.1, residual_sd=0.2),
        terms=terms,
        r2=0.42,
        r2_adjusted=0.38,
        residual_df=len(rows) - 3,
        condition_number=12.0,
        image_ids=tuple(case.image_id for case in rows),
        fitted=tuple(rng.uniform(0.3, 0.8, len(rows)).tolist()),
        residuals=tuple(rng.normal(0, 0.2, len(rows)).tolist()),
    )


def _paired(code: str, group: str) -> PairedResult:
    return PairedResult(
        sequence=code,
        group=group,
        measure="dice",
        criterion=None,
        n=9,
        patients=9,
        first=0.5,
        second=0.54,
        difference=Estimate(value=0.04, low=-0.01, high=0.09),
    )
