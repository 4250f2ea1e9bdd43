"""``export`` as a person runs it: files beside nothing of the cohort, exit codes, and nobody's name on the screen."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from lib.cli import app
from lib.imaging.volume import Volume, read_volume, write_volume
from lib.ingest.dicom import import_dicom
from tests.ingest.examination import identity_of, series, write

BAD_INPUT = 2


def test_labels_of_an_imported_cohort_become_dicom(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    discs, cohort, key = write(tmp_path / "discs", series("CP")), tmp_path / "cohort", tmp_path / "secret" / "key"

    def run(*arguments: object) -> tuple[int, str, str]:
        options = [cohort, "--dicom", discs, "--out", tmp_path / "out", "--key", key, *arguments]
        monkeypatch.setattr("sys.argv", ["main.py", "export", *map(str, options)])
        code = app.run()
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    assert run()[0] == BAD_INPUT  # no cohort yet
    (image_id,) = import_dicom(discs, cohort, centre="A", key_file=key).imported
    assert run()[0] == 1  # no label yet
    image = read_volume(cohort / f"{image_id}.nii.gz")
    label = Volume(data=np.zeros(image.shape, np.uint8), affine=image.affine)
    label.data[4:8, 4:8, 3] = 2
    write_volume(label, cohort / "labels" / "final" / f"{image_id}.nii.gz")
    code, out, err = run("--json")
    assert (code, json.loads(out)["exported"]) == (0, 1)
    modalities = {pydicom.dcmread(path).Modality for path in (tmp_path / "out").iterdir()}
    assert modalities == {"SEG", "SR"}
    person = identity_of()
    assert not [word for word in (*person.name.split("^"), person.patient_id) if word in out + err]
