"""Labels survive whatever happens to the server: kills, many at once, a full disk.

A long run, about ten seconds a round on an idle core::

    RENAL_LOOP_CRASH_ROUNDS=200 RENAL_LOOP_BUSY_SECONDS=60 python -m pytest tests/e2e/test_store.py
"""

import hashlib
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests

from lib.imaging.volume import Volume, read_volume, volume_bytes
from tests.conftest import two_kidneys
from tests.e2e.conftest import Server, running

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("RENAL_LOOP_CRASH_ROUNDS", "3"))
SECONDS = float(os.environ.get("RENAL_LOOP_BUSY_SECONDS", "5"))
IMAGES = [f"P{number}_CP" for number in range(8)]


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    folder = tmp_path / "cohort"
    fill(folder)
    return folder


def fill(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    image, _ = two_kidneys()
    for image_id in IMAGES:
        (folder / f"{image_id}.nii.gz").write_bytes(volume_bytes(image))


def new_label(rng: np.random.Generator) -> tuple[bytes, str]:
    """A label that no other equals: its file, and the hash of its voxels."""
    image, _ = two_kidneys()
    data = rng.integers(0, 4, image.shape, dtype=np.uint8)
    return volume_bytes(Volume(data=data, affine=image.affine)), voxels_hash(data)


def voxels_hash(data: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(data, dtype=np.uint8).tobytes()).hexdigest()


def put(url: str, image_id: str, payload: bytes, timeout: float = 60) -> requests.Response:
    return requests.put(
        f"{url}/datastore/label?image={image_id}", files={"label": ("l.nii.gz", payload)}, timeout=timeout
    )


def served(url: str, image_id: str, tmp_path: Path) -> str:
    answer = requests.get(f"{url}/datastore/label?label={image_id}&tag=final", timeout=60)
    answer.raise_for_status()
    path = tmp_path / f"{threading.get_ident()}.nii.gz"
    path.write_bytes(answer.content)
    return voxels_hash(read_volume(path).data)


@pytest.mark.timeout(600 + 60 * ROUNDS)
def test_a_killed_server_keeps_every_label_it_answered_for(cohort: Path, tmp_path: Path) -> None:
    rng, answered, sent = np.random.default_rng(0), dict.fromkeys(IMAGES, ""), dict.fromkeys(IMAGES, "")
    chance = random.Random(0)
    for _ in range(ROUNDS):
        with running(cohort, tmp_path / "live") as server:
            for image_id in IMAGES:
                if answered[image_id]:  # the last answered one, or one sent after it whose answer was cut off
                    assert served(server.url, image_id, tmp_path) in (answered[image_id], sent[image_id])
            killer = threading.Timer(chance.uniform(0.0, 1.0), server.process.kill)
            killer.start()
            try:
                while True:
                    image_id = chance.choice(IMAGES)
                    payload, digest = new_label(rng)
                    sent[image_id] = digest
                    if put(server.url, image_id, payload).ok:
                        answered[image_id] = digest
            except requests.RequestException:
                killer.join()
    with running(cohort, tmp_path / "live") as server:
        for image_id in filter(answered.get, IMAGES):
            assert served(server.url, image_id, tmp_path) in (answered[image_id], sent[image_id])
    assert any(answered.values())


@pytest.mark.timeout(600 + 2 * SECONDS)
def test_eight_writers_and_readers_at_once(cohort: Path, tmp_path: Path) -> None:
    with running(cohort, tmp_path / "live") as server, ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda number: _write_and_read(server, number, tmp_path), range(8)))
    assert min(counts) > 0
    versions = list((cohort / ".renal" / "labels").glob("*/*.nii.gz"))
    assert len(versions) == sum(counts)


def _write_and_read(server: Server, number: int, tmp_path: Path) -> int:
    rng, image_id, count = np.random.default_rng(number), IMAGES[number], 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        payload, digest = new_label(rng)
        put(server.url, image_id, payload).raise_for_status()
        assert served(server.url, image_id, tmp_path) == digest
        requests.get(f"{server.url}/datastore/?output=all", timeout=60).raise_for_status()
        count += 1
    return count


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_answers_507_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    cohort = small_disk / "cohort"
    fill(cohort)
    rng, answered = np.random.default_rng(0), {}
    with running(cohort, tmp_path / "live") as server:
        for _ in range(2000):
            image_id = IMAGES[len(answered) % len(IMAGES)]
            payload, digest = new_label(rng)
            answer = put(server.url, image_id, payload)
            if not answer.ok:
                break
            answered[image_id] = digest
        assert answer.status_code == 507, answer.text
        assert "no room" in answer.json()["detail"]
        for image_id, digest in answered.items():
            assert served(server.url, image_id, tmp_path) == digest
        proposal = requests.post(f"{server.url}/infer/segment_auto?image={IMAGES[0]}&output=json", timeout=120)
        assert proposal.ok, proposal.text  # it can be given, though not recorded
    with running(cohort, tmp_path / "live") as server:  # still full
        for image_id, digest in answered.items():
            assert served(server.url, image_id, tmp_path) == digest
