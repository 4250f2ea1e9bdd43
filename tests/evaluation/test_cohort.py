"""From folders to a report: right figures, every flaw of the input listed, an interrupted run goes on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.domain.cohort import format_cohort, read_cohort
from lib.domain.errors import BadCohortError, BadPredictionsError
from lib.evaluation import cases as cases_module
from lib.evaluation.cohort import evaluate_cohort
from lib.evaluation.report import REPORT, Options, Report, read_report, write_report
from lib.imaging.lesions import measure_masses
from lib.imaging.metrics import score_case
from lib.imaging.volume import Volume, read_label, write_volume

QUICK = Options(bootstrap_draws=100)


def evaluate(cohort: Path, predictions: Path, options: Options = QUICK, **more: object) -> Report:
    return evaluate_cohort(cohort, predictions, options, **more).report


def kinds(report: Report) -> dict[str, str]:
    """Problems about images: kind by image id."""
    return {problem.image_id: problem.kind for problem in report.problems if problem.image_id}


def test_figures_are_those_of_the_metrics(predicted) -> None:
    cohort, folder = predicted(["P1", "P2"], ["CP", "NP"])
    report = evaluate(cohort, folder)
    assert [case.image_id for case in report.cases] == ["P1_CP", "P1_NP", "P2_CP", "P2_NP"]
    for case in report.cases:
        prediction, reference = (
            read_label(path / f"{case.image_id}.nii.gz").data for path in (folder, cohort / "labels" / "final")
        )
        alone = score_case(case.image_id, prediction, reference)
        assert case.regions["mass"].dice == alone.dice["mass"]
        assert 0 < case.regions["mass"].dice < 1
        assert len(case.regions) == 3
    assert report.counts.scored == report.counts.images == 4
    assert {(result.sequence, result.group) for result in report.results} == {
        (code, group) for code in ("CP", "NP") for group in ("all", "internal")
    }
    assert report.provenance.predictions.models == {"": ("first-1",)}
    assert report.problems == ()


def test_a_perfect_prediction_is_perfect(predicted) -> None:
    report = evaluate(*predicted(["P1", "P2"], ["CP"], shift=0))
    result = next(one for one in report.results if one.group == "all")
    assert {name: one.median for name, one in result.regions[-1].measures.items()} == {
        "dice": 1.0,
        "surface_dice": 1.0,
        "hd95_mm": 0.0,
        "volume_error_ml": 0.0,
        "volume_error_relative": 0.0,
    }
    assert all(one.masses.rate == one.patients.rate == 1.0 for one in result.detection)
    assert all(one.false_positives == 0 for one in result.detection)


def test_flaws_of_the_input_are_listed_and_the_rest_is_scored(predicted) -> None:
    names = ["bad", "far", "fine", "flip", "gone", "none", "odd", "only", "zero"]
    cohort, folder = predicted([f"P{name}" for name in names], ["CP"])
    labels = cohort / "labels" / "final"
    (folder / "Pbad_CP.nii.gz").write_bytes(b"no image")
    far = read_label(folder / "Pfar_CP.nii.gz")
    write_volume(Volume(data=far.data[1:], affine=far.affine), folder / "Pfar_CP.nii.gz")
    flip = read_label(folder / "Pflip_CP.nii.gz")
    turn = np.diag([-1.0, 1, 1, 1])
    turn[0, 3] = flip.shape[0] - 1
    write_volume(Volume(data=flip.data[::-1], affine=flip.affine @ turn), folder / "Pflip_CP.nii.gz")
    (folder / "Pgone_CP.nii.gz").unlink()
    (labels / "Pnone_CP.nii.gz").unlink()
    (labels / "Podd_CP.json").write_text('{"structures": ["liver"]}')
    (labels / "Ponly_CP.json").write_text('{"structures": ["kidney"]}')
    zero = read_label(labels / "Pzero_CP.nii.gz")
    write_volume(Volume(data=np.zeros_like(zero.data), affine=zero.affine), labels / "Pzero_CP.nii.gz")
    write_volume(flip, folder / "stranger.nii.gz")
    report = evaluate(cohort, folder)
    assert kinds(report) == {
        "Pbad_CP": "unreadable_prediction",
        "Pfar_CP": "other_grid",
        "Pflip_CP": "turned_grid",
        "Pgone_CP": "missing_prediction",
        "Pnone_CP": "unlabelled",
        "Podd_CP": "unreadable_label",
        "Ponly_CP": "mass_not_drawn",
        "Pzero_CP": "empty_reference",
        "stranger": "unknown_prediction",
    }
    scored = {case.image_id: case for case in report.cases}
    assert sorted(scored) == ["Pfine_CP", "Pflip_CP", "Pzero_CP"]
    assert scored["Pflip_CP"].regions == scored["Pfine_CP"].regions
    assert scored["Pzero_CP"].regions.keys() == {"mass"}  # an empty label speaks about the mass only
    assert report.counts.scored + report.counts.excluded == report.counts.images == 9


def test_a_missing_prediction_counts_as_missed_when_asked_for(predicted) -> None:
    cohort, folder = predicted(["P1", "P2"], ["CP"])
    (folder / "P1_CP.nii.gz").unlink()
    report = evaluate(cohort, folder, replace(QUICK, missing="empty"))
    missed = report.cases[0]
    assert (missed.prediction, missed.regions["mass"].dice, missed.regions["mass"].hd95_mm) == (
        "counted as empty",
        0,
        None,
    )
    found = next(one for one in report.results if one.group == "all").detection[0]
    assert (found.masses.count, found.masses.total) == (1, 2)
    assert kinds(report) == {"P1_CP": "missing_prediction"}


def test_the_order_of_the_table_changes_nothing(predicted) -> None:
    cohort, folder = predicted(["P1", "P2", "P3"], ["CP"])
    before = REPORT.dump_json(evaluate(cohort, folder))
    (cohort / "cohort.csv").write_text(format_cohort(read_cohort(cohort)[::-1]))
    assert REPORT.dump_json(evaluate(cohort, folder)) == before


def test_a_second_run_reads_kept_scores_and_gives_the_same_bytes(predicted, tmp_path: Path, monkeypatch) -> None:
    cohort, folder = predicted(["P1", "P2"], ["CP"])
    first = evaluate(cohort, folder, keep=tmp_path / "out", workers=2)
    monkeypatch.setattr(cases_module, "score_labels", None)  # would fail if anything were scored again
    again = evaluate(cohort, folder, keep=tmp_path / "out")
    assert REPORT.dump_json(again) == REPORT.dump_json(first)


@pytest.mark.parametrize("change", ["prediction", "label", "tolerance", "drawn", "damage"])
def test_kept_scores_of_something_else_are_not_used(predicted, tmp_path: Path, change: str) -> None:
    cohort, folder = predicted(["P1"], ["CP"])
    label, keep = cohort / "labels" / "final" / "P1_CP.nii.gz", tmp_path / "out"
    before, options = evaluate(cohort, folder, keep=keep), QUICK
    if change == "prediction":
        predicted(["P1"], ["CP"], shift=3)
    elif change == "label":
        write_volume(read_label(folder / "P1_CP.nii.gz"), label)
    elif change == "tolerance":
        options = replace(QUICK, surface_tolerance_mm=3.0)
    elif change == "drawn":
        label.with_name("P1_CP.json").write_text('{"structures": ["mass"]}')
    else:
        next((keep / "scores").iterdir()).write_text("{")
    after = evaluate(cohort, folder, options, keep=keep)
    assert (after.cases[0].regions == before.cases[0].regions) is (change == "damage")
    assert after.cases == evaluate(cohort, folder, options).cases


def test_two_prediction_sets_are_compared_in_pairs(predicted) -> None:
    cohort, worse = predicted(["P1", "P2", "P3"], ["CP"], shift=3)
    _, better = predicted(["P1", "P2", "P3"], ["CP"], shift=1, name="second")
    (better / "P3_CP.nii.gz").unlink()
    report = evaluate(cohort, worse, compare_with=better)
    assert (report.comparison.images, report.comparison.patients) == (2, 2)
    dice = next(one for one in report.comparison.results if one.measure == "dice" and one.group == "all")
    assert dice.difference.value == pytest.approx(dice.second - dice.first)
    assert 0 < dice.difference.low <= dice.difference.high
    assert kinds(report) == {"P3_CP": "unpaired"}
    swapped = evaluate(cohort, better, compare_with=worse).comparison.results
    assert [one.difference.value for one in swapped if one.difference.value] == pytest.approx(
        [-one.difference.value for one in report.comparison.results if one.difference.value]
    )


def test_a_bad_file_of_the_second_set_costs_the_comparison_only(predicted) -> None:
    cohort, first = predicted(["P1", "P2"], ["CP"])
    _, second = predicted(["P1", "P2"], ["CP"], name="second")
    (second / "P1_CP.nii.gz").write_bytes(b"no image")
    report = evaluate(cohort, first, compare_with=second)
    assert (report.counts.scored, report.comparison.images) == (2, 1)
    assert [(one.kind, one.effect) for one in report.problems if one.image_id] == [
        ("unreadable_prediction", "second set: left out"),
        ("unpaired", "left out of the comparison"),
    ]


def test_sizes_come_from_the_column_when_asked_for(predicted) -> None:
    cohort, folder = predicted(["P1", "P2"], ["CP"])
    first, second = read_cohort(cohort)
    rows = [replace(first, clinical={"size_mm": "12"}), replace(second, clinical={"size_mm": "large"})]
    (cohort / "cohort.csv").write_text(format_cohort(rows))
    report = evaluate(cohort, folder, replace(QUICK, size_from="column"))
    assert [case.size_mm for case in report.cases] == [12.0, None]
    assert [row.level for row in report.subgroups[0].levels if row.patients] == ["1-2 cm", "unknown"]
    assert kinds(report) == {"P2_CP": "unknown_value"}


def test_confidences_are_the_froc_score_only_when_every_mass_has_one(predicted) -> None:
    cohort, folder = predicted(["P1", "P2"], ["CP"])
    assert evaluate(cohort, folder).provenance.froc_score == "volume_ml"
    table = json.loads((folder / "predictions.json").read_text())
    for number, image_id in enumerate(table["images"]):
        (mass,) = measure_masses(read_label(folder / f"{image_id}.nii.gz"))
        table["images"][image_id]["masses"] = [{"centre_ras": mass.centre_ras, "confidence": 0.9 - number / 10}]
    (folder / "predictions.json").write_text(json.dumps(table))
    report = evaluate(cohort, folder)
    assert report.provenance.froc_score == "confidence"
    assert [point.threshold for point in report.results[0].froc[0].points] == pytest.approx([0.9, 0.8])


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"images": []}', '{"images": {"P1_CP": {"masses": [3], "sequence": 1}}}']
)
def test_a_damaged_table_of_predictions_costs_versions_only(predicted, content: str) -> None:
    cohort, folder = predicted(["P1"], ["CP"])
    (folder / "predictions.json").write_text(content)
    report = evaluate(cohort, folder)
    assert report.counts.scored == 1
    assert report.cases[0].model_version == ""


def test_folders_that_are_not_there_are_refused(predicted, tmp_path: Path) -> None:
    cohort, folder = predicted(["P1"], ["CP"])
    with pytest.raises(BadPredictionsError, match="not a folder"):
        evaluate(cohort, tmp_path / "nowhere")
    with pytest.raises(BadPredictionsError, match="not a folder"):
        evaluate(cohort, folder, compare_with=tmp_path / "nowhere")
    with pytest.raises(BadCohortError, match="not a folder"):
        evaluate(tmp_path / "nowhere", folder)


def test_a_report_is_read_as_it_was_written(predicted, tmp_path: Path) -> None:
    report = evaluate(*predicted(["P1", "P2"], ["CP"]))
    assert read_report(write_report(report, tmp_path)) == report
