"""Detection counted by hand."""

import pytest

from lib.evaluation.detection import any_sequence, detection, froc


def test_masses_patients_and_false_positives_are_counted(case, bootstrap) -> None:
    cases = [case(1, found=[0.9, None], wrong=[0.4]), case(2, found=[None]), case(3, found=[], wrong=[0.2, 0.1])]
    found = detection(cases, "overlap", bootstrap)
    assert (found.masses.count, found.masses.total) == (1, 3)
    assert (found.patients.count, found.patients.total) == (1, 2)
    assert found.false_positives == 3
    assert found.per_scan.value == pytest.approx(1.0)


def test_a_patient_found_in_one_sequence_of_two_is_found(case) -> None:
    cases = [case(1, sequence="CP", found=[None]), case(1, sequence="NP"), case(2, sequence="CP", found=[None])]
    (found, *_) = any_sequence(cases, "all", 0.95)
    assert (found.patients.count, found.patients.total) == (1, 2)


def test_froc_rises_as_the_threshold_falls(case) -> None:
    cases = [case(1, found=[0.9], wrong=[0.7]), case(2, found=[0.5, None])]
    points = froc(cases, "overlap").points
    assert [(p.threshold, p.sensitivity, p.false_positives_per_scan) for p in points] == [
        (0.9, pytest.approx(1 / 3), 0.0),
        (0.7, pytest.approx(1 / 3), 0.5),
        (0.5, pytest.approx(2 / 3), 0.5),
    ]


def test_a_long_froc_keeps_its_ends(case) -> None:
    cases = [case(number, found=[number / 1000]) for number in range(1, 400)]
    points = froc(cases, "overlap").points
    assert len(points) == 100
    assert (points[0].threshold, points[-1].sensitivity) == (0.399, 1.0)


def test_without_predicted_masses_there_is_no_curve(case) -> None:
    assert froc([case(1, found=[None])], "overlap").points == ()
