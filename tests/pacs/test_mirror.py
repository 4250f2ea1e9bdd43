"""A cohort follows a real PACS: what becomes an image, what does not, and what a failing PACS leaves behind."""

from collections.abc import Callable

import nibabel as nib
import numpy as np
import pytest

from lib.domain.errors import ArchiveError, BadRequestError, UnknownImageError
from lib.imaging.volume import Volume
from lib.pacs.planes import slices_of
from tests.ingest.examination import dynamic, enhanced, identity_of, series
from tests.orthanc import Orthanc, needs_orthanc

pytestmark = [needs_orthanc, pytest.mark.slow]


def uid(datasets) -> str:
    return str(datasets[0].SeriesInstanceUID)


def image_voxels(path) -> Volume:
    image = nib.load(path)
    return Volume(data=np.asarray(image.dataobj), affine=image.affine)


def test_series_become_images_with_each_pixel_at_its_sop_instance(pacs: Orthanc, mirror_of: Callable) -> None:
    exam = {code: series(code) for code in ("T1WI", "T2WI", "CP")}
    for slices in exam.values():
        pacs.keep(slices)
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    assert {image.rpartition("_")[2] for image in store.image_ids()} == set(exam)
    for code, slices in exam.items():
        image_id = mirror.image_id(uid(slices))
        assert store.image(image_id).sequence == code
        planes = mirror.planes.find(image_id)
        assert planes.study_uid == slices[0].StudyInstanceUID
        low = image_voxels(store.image_path(image_id))
        found = slices_of(Volume(data=(low.data % 251).astype(np.uint8), affine=low.affine), planes)
        assert set(found) == {one.SOPInstanceUID for one in slices}
        for one in slices:
            np.testing.assert_array_equal(found[one.SOPInstanceUID], one.pixel_array % 251)
    assert mirror.status()["error"] == ""
    assert mirror.status()["series"] == {"imported": 3}


def test_nothing_that_names_the_patient_is_in_the_cohort(pacs: Orthanc, mirror_of: Callable) -> None:
    pacs.keep(series("CP"))
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    person, first = identity_of(), series("CP")[0]
    secrets = (person.name, person.patient_id, person.accession, first.StudyInstanceUID, first.SeriesInstanceUID)
    for path in mirror.cohort.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path.name
    assert not any(secret in repr(mirror.status()) for secret in secrets)


def test_two_phases_in_one_series_become_two_images_that_the_series_alone_does_not_name(
    pacs: Orthanc, mirror_of: Callable
) -> None:
    both = dynamic("CP", "NP")
    pacs.keep(both)
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    ids = store.image_ids()
    assert sorted(one.rpartition("_")[2] for one in ids) == ["CP", "NP"]
    with pytest.raises(BadRequestError, match=f"2 images; expected one of their ids: .*{ids[0]}"):
        mirror.image_id(uid(both))
    keys = [set(mirror.planes.find(one).keys) for one in ids]
    assert not keys[0] & keys[1]
    assert len(keys[0] | keys[1]) == len(both)


def test_a_missing_slice_other_modalities_and_localisers_become_nothing(pacs: Orthanc, mirror_of: Callable) -> None:
    def ct(one):
        one.Modality, one.SOPClassUID = "CT", "1.2.840.10008.5.1.4.1.1.2"
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID

    whole = series("CP")
    pacs.keep(whole[:3] + whole[4:])
    pacs.keep(series("NP", change=ct))
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    assert store.image_ids() == []
    (row,) = mirror.status()["not_taken"]
    assert "1 slice is missing" in row["why"]
    with pytest.raises(UnknownImageError, match="tells why"):
        mirror.image_id(uid(whole))
    pacs.keep([whole[3]])  # it comes after all
    mirror.round(store)
    assert [one.rpartition("_")[2] for one in store.image_ids()] == ["CP"]


def test_frames_of_an_enhanced_image_are_told_apart(pacs: Orthanc, mirror_of: Callable) -> None:
    whole = enhanced(series("T2WI"))
    pacs.keep([whole])
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    (image_id,) = store.image_ids()
    low = image_voxels(store.image_path(image_id))
    found = slices_of(Volume(data=(low.data % 251).astype(np.uint8), affine=low.affine), mirror.planes.find(image_id))
    for number, pixels in enumerate(whole.pixel_array, start=1):
        np.testing.assert_array_equal(found[f"{whole.SOPInstanceUID}/frames/{number}"], pixels % 251)


def test_a_study_that_still_arrives_is_waited_for(pacs: Orthanc, mirror_of: Callable, monkeypatch) -> None:
    from lib.pacs import mirror as module
    from lib.pacs.mirror import MirrorRule

    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    slices = series("CP")
    pacs.keep(slices[:6])
    mirror, store = mirror_of(pacs.url, rule=MirrorRule(settle_s=20))
    mirror.round(store)
    pacs.keep(slices[6:])
    now[0] = 21
    mirror.round(store)  # it changed meanwhile
    now[0] = 40
    mirror.round(store)
    assert store.image_ids() == []
    now[0] = 42
    mirror.round(store)
    assert len(store.image_ids()) == 1


def test_a_pacs_that_goes_away_is_named_and_its_images_stay(pacs: Orthanc, mirror_of: Callable) -> None:
    pacs.keep(series("CP"))
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    pacs.stop()
    with pytest.raises(ArchiveError, match="cannot be reached"):
        mirror.round(store)
    assert "cannot be reached" in mirror.status()["error"]
    (image_id,) = store.image_ids()
    assert store.grid(image_id).shape == (32, 24, 8)
    pacs.start()
    pacs.keep(series("NP"))
    mirror.round(store)
    assert mirror.status()["error"] == ""
    assert len(store.image_ids()) == 2


def test_a_second_mirror_of_the_notes_takes_nothing_twice(pacs: Orthanc, mirror_of: Callable) -> None:
    pacs.keep(series("CP"))
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    ledger = (mirror.cohort / "import.json").read_bytes()
    again, _ = mirror_of(pacs.url)
    again.round(store)
    assert again.image_id(uid(series("CP"))) == store.image_ids()[0]
    assert (mirror.cohort / "import.json").read_bytes() == ledger


def test_a_person_can_decide_what_a_series_is(pacs: Orthanc, mirror_of: Callable) -> None:
    def unclear(one):
        one.SeriesDescription = one.ProtocolName = "xyz"

    slices = series("CP", change=unclear)
    pacs.keep(slices)
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    (row,) = mirror.status()["not_taken"]
    (mirror.cohort.parent / "decisions.csv").write_text(f"series,code\n{row['series']},DP\n")
    mirror.round(store)
    assert [one.rpartition("_")[2] for one in store.image_ids()] == ["DP"]


def test_images_that_were_lost_are_fetched_again_once_the_notes_of_studies_are_gone(
    pacs: Orthanc, mirror_of: Callable
) -> None:
    pacs.keep(series("CP"))
    mirror, store = mirror_of(pacs.url)
    mirror.round(store)
    (image_id,) = store.image_ids()
    content = store.image_path(image_id).read_bytes()
    store.image_path(image_id).unlink()
    (mirror.cohort.parent / "studies.json").unlink()
    again, seen = mirror_of(pacs.url)
    again.round(seen)
    assert seen.image_path(image_id).read_bytes() == content
