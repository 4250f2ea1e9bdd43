"""Tables by size, scanner, histology and any column, with tests between their levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from statsmodels.stats.multitest import multipletests

from lib.domain.criteria import CRITERIA
from lib.evaluation.detection import found_by_patient, masses_found, patients_found
from lib.evaluation.figures import Subgroup, SubgroupLevel, SubgroupTest
from lib.evaluation.level_tests import compare_detection, compare_dice
from lib.evaluation.levels import UNKNOWN, levels_of, size_level, size_levels
from lib.evaluation.report import CaseResult
from lib.evaluation.results import MASS_REGION, per_patient
from lib.evaluation.statistics import PatientBootstrap, summarise

SIZE = "size"
FROM_LABEL, FROM_COLUMN = "largest diameter in the reference label", "column size_mm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A factor of the tables: its levels in order, and the level of an image."""

    name: str
    source: str
    levels: tuple[str, ...]
    level: Callable[[CaseResult], str]


def subgroups(
    cases: Sequence[CaseResult], *, sequence: str, factors: Sequence[str], from_label: bool, bootstrap: PatientBootstrap
) -> list[Subgroup]:
    """Tables of one sequence, with their tests adjusted for each other (Holm).

    A patient's level is that of their first image with a mass; an image without a mass is in no table.

    Args:
        cases: Of one sequence.
        sequence: Its code.
        factors: Columns that the cases carry.
        from_label: Whether sizes come from the reference label.
        bootstrap: Draws patients again.
    """
    having = [case for case in cases if case.masses]
    chosen = [_size_factor(from_label=from_label), *(_column_factor(having, name) for name in factors)]
    tables = [_table(having, factor, sequence, bootstrap) for factor in chosen]
    if from_label:
        tables.insert(1, _sizes_of_masses(having, sequence, bootstrap))
    return _adjusted(tables)


def _size_factor(*, from_label: bool) -> Factor:
    return Factor(
        name=SIZE,
        source=FROM_LABEL if from_label else FROM_COLUMN,
        levels=size_levels(),
        level=lambda case: size_level(case.size_mm),
    )


def _column_factor(cases: Sequence[CaseResult], name: str) -> Factor:
    names, level = levels_of([case.factors.get(name, "") for case in cases])
    return Factor(
        name=name, source=f"column {name}", levels=names, level=lambda case: level(case.factors.get(name, ""))
    )


def _table(cases: Sequence[CaseResult], factor: Factor, sequence: str, bootstrap: PatientBootstrap) -> Subgroup:
    first = {case.patient: factor.level(case) for case in reversed(cases)}
    inside = {level: [case for case in cases if first[case.patient] == level] for level in (*factor.levels, UNKNOWN)}
    dice = {level: per_patient(some, MASS_REGION, "dice") for level, some in inside.items()}
    known = [level for level in factor.levels if inside[level]]
    return Subgroup(
        factor=factor.name,
        source=factor.source,
        unit="patient",
        sequence=sequence,
        levels=tuple(
            SubgroupLevel(
                level=level,
                images=len(some),
                patients=len({case.patient for case in some}),
                masses=sum(len(case.masses) for case in some),
                dice=summarise(list(dice[level].values()), list(dice[level]), bootstrap),
                detection={one: patients_found(some, one, bootstrap.confidence) for one in CRITERIA},
            )
            for level, some in inside.items()
            if some or (level != UNKNOWN and factor.name == SIZE)
        ),
        tests=(
            compare_dice({level: [one for one in dice[level].values() if one is not None] for level in known}),
            compare_detection({level: list(found_by_patient(inside[level], "overlap").values()) for level in known}),
        ),
    )


def _sizes_of_masses(cases: Sequence[CaseResult], sequence: str, bootstrap: PatientBootstrap) -> Subgroup:
    """Each mass by its own size; masses of a patient are not independent, so nothing is tested."""
    levels = []
    for level in size_levels():
        some = [
            replace(case, masses=masses)
            for case in cases
            if (masses := tuple(mass for mass in case.masses if size_level(mass.diameter_mm) == level))
        ]
        measured = [(mass.dice, case.patient) for case in some for mass in case.masses]
        levels.append(
            SubgroupLevel(
                level=level,
                images=len(some),
                patients=len({case.patient for case in some}),
                masses=len(measured),
                dice=summarise([dice for dice, _ in measured], [patient for _, patient in measured], bootstrap),
                detection={one: masses_found(some, one, bootstrap.confidence) for one in CRITERIA},
            )
        )
    return Subgroup(factor=SIZE, source=FROM_LABEL, unit="mass", sequence=sequence, levels=tuple(levels), tests=())


def _adjusted(tables: Sequence[Subgroup]) -> list[Subgroup]:
    made = [test.p for table in tables for test in table.tests if test.p is not None]
    adjusted = iter(multipletests(made, method="holm")[1].tolist() if made else [])

    def with_holm(test: SubgroupTest) -> SubgroupTest:
        return test if test.p is None else replace(test, p_holm=next(adjusted))

    return [replace(table, tests=tuple(map(with_holm, table.tests))) for table in tables]
