"""Which images are looked at together: the study's groups by centre and vendor, and any column's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lib.domain.cohort import COLUMNS
from lib.domain.records import CaseRecord
from lib.domain.scanners import vendor_of
from lib.evaluation.report import Options, Problem

TRAINING_VENDOR = "GE"  # the study's networks learned from one vendor's images only
ALL, INTERNAL, EXTERNAL, OTHER_VENDOR = "all", "internal", "external", f"non-{TRAINING_VENDOR}"
DEFAULT_FACTORS = ("vendor", "field_t", "centre", "histology", "side", "age", "sex")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRule:
    """A group's name, the sentence that says what it is, and the same as a test."""

    name: str
    rule: str
    holds: Callable[[CaseRecord], bool]


def value_of(record: CaseRecord, column: str) -> str:
    """A column's value as text; empty when unknown. The vendor is named as in VENDORS where it can be told."""
    if column == "vendor":
        known = vendor_of(record.vendor)
        return known if record.vendor else ""
    if column == "field_t":
        return f"{record.field_t:g}" if record.field_t else ""
    return str(getattr(record, column)) if column in COLUMNS else record.clinical.get(column, "")


def columns_of(records: Sequence[CaseRecord]) -> list[str]:
    """Columns that the table has, the fixed ones first."""
    return [*COLUMNS, *dict.fromkeys(name for record in records for name in record.clinical)]


def chosen_columns(
    records: Sequence[CaseRecord], asked: Sequence[str], purpose: str
) -> tuple[tuple[str, ...], list[Problem]]:
    """Asked columns that the table has, and a problem for each that it has not."""
    known = columns_of(records)
    problems = [
        Problem(
            kind="unknown_column",
            seen=f"column {name!r} for {purpose}",
            expected=f"one of {', '.join(known)}",
            effect="left out",
        )
        for name in dict.fromkeys(asked)
        if name not in known
    ]
    return tuple(name for name in dict.fromkeys(asked) if name in known), problems


def default_factors(records: Sequence[CaseRecord]) -> tuple[str, ...]:
    """Those of DEFAULT_FACTORS that any image has a value for."""
    return tuple(name for name in DEFAULT_FACTORS if any(value_of(record, name) for record in records))


def group_rules(records: Sequence[CaseRecord], options: Options) -> tuple[list[GroupRule], list[Problem]]:
    """Rules of every group to report.

    Args:
        records: Every row of the table.
        options: Names internal centres, and columns that make further groups.

    Returns:
        The rules, and what was asked for and is not there.
    """
    internal, why, problems = _internal_centres(records, options.internal_centres)
    columns, unknown = chosen_columns(records, options.group_by, "groups")
    return [*_study_groups(internal, why), *_column_groups(records, columns)], [*problems, *unknown]


def _study_groups(internal: frozenset[str], why: str) -> list[GroupRule]:
    same = f"vendor {TRAINING_VENDOR}"
    return [
        GroupRule(name=ALL, rule="every scored image", holds=lambda _: True),
        GroupRule(
            name=INTERNAL,
            rule=f"{same}, centre {' or '.join(sorted(internal)) or 'unknown'} ({why})",
            holds=lambda record: _trained_on(record) and record.centre in internal,
        ),
        GroupRule(
            name=EXTERNAL,
            rule=f"{same}, any other centre",
            holds=lambda record: _trained_on(record) and bool(record.centre) and record.centre not in internal,
        ),
        GroupRule(
            name=OTHER_VENDOR,
            rule=f"a known vendor other than {TRAINING_VENDOR}, any centre",
            holds=lambda record: vendor_of(record.vendor) not in (TRAINING_VENDOR, vendor_of("")),
        ),
    ]


def _trained_on(record: CaseRecord) -> bool:
    return vendor_of(record.vendor) == TRAINING_VENDOR


def _internal_centres(records: Sequence[CaseRecord], named: Sequence[str]) -> tuple[frozenset[str], str, list[Problem]]:
    """Internal centres, why these, and names that no image has."""
    centres = sorted({record.centre for record in records if record.centre})
    if named:
        problems = [
            Problem(
                kind="unknown_value",
                seen=f"internal centre {name!r}",
                expected=f"one of {', '.join(centres) or 'none: the table names no centre'}",
                effect="no image is of this centre",
            )
            for name in named
            if name not in centres
        ]
        return frozenset(named), "as named", problems
    scanned = defaultdict(set)
    for record in records:
        if _trained_on(record) and record.centre:
            scanned[record.centre].add(record.patient_id)
    most = max(sorted(scanned), key=lambda centre: len(scanned[centre]), default=None)
    why = f"the centre with most patients scanned on {TRAINING_VENDOR}"
    return frozenset(() if most is None else (most,)), why, []


def _column_groups(records: Sequence[CaseRecord], columns: Sequence[str]) -> list[GroupRule]:
    return [
        GroupRule(
            name=f"{column}: {value}",
            rule=f"column {column} is {value}",
            holds=lambda record, column=column, value=value: value_of(record, column) == value,  # type: ignore[misc]
        )
        for column in columns
        for value in sorted({value_of(record, column) for record in records} - {""})
    ]
