"""A PACS with examinations, and a mirror of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lib.pacs.archive import Address, Archive
from lib.pacs.mirror import MirrorRule, PacsMirror
from lib.store.cohort import CohortStore
from tests.orthanc import Orthanc, orthanc


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    with orthanc(tmp_path / "orthanc") as found:
        yield found


@pytest.fixture
def mirror_of(tmp_path: Path) -> Iterator[Callable[..., tuple[PacsMirror, CohortStore]]]:
    """Follow a PACS: ``mirror_of(pacs.url)``; a name tells mirrors of one test apart."""
    opened: list[tuple[Archive, CohortStore]] = []

    def make(url: str, name: str = "mirror", *, rule: MirrorRule = MirrorRule(settle_s=0), **address: object):  # noqa: B008
        archive = Archive(Address(url=url, timeout_s=20, **address))
        mirror = PacsMirror(archive, tmp_path / name, centre="A", rule=rule)
        store = CohortStore(mirror.cohort)
        opened.append((archive, store))
        return mirror, store

    yield make
    for archive, store in opened:
        archive.close()
        store.close()
