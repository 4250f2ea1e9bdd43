"""What the registry's files say, shown in MLflow: runs with curves, model versions, the aliases of what serves.

The files are the truth; this copies them into ``live/mlflow/mlflow.sqlite`` and can be repeated at any time. MLflow
lies in a folder of its own, which only ``bring_in_step`` looks into: MONAI's handlers import it wherever they find it,
and it takes seconds that no server start, training or prediction is to wait for.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from lib.imaging.volume import write_bytes
from lib.registry.figures import figures_of, finite, flat
from lib.registry.models import VERSIONS, ModelFolder
from lib.registry.serving import SERVING, Serving, read_serving
from lib.registry.versions import RECORD, VersionRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
_STEP = "in-step"
_INSTALLED = Path(sys.prefix) / "mlflow"
_VERSION_TAG = "renal.version"
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
_LONGEST = 5000  # characters that MLflow allows in a tag


def store_uri(live: Path) -> str:
    """Address of the store, as ``mlflow ui --backend-store-uri`` takes it."""
    return f"sqlite:///{(live / 'mlflow' / 'mlflow.sqlite').resolve()}"


def model_name(code: str) -> str:
    """Name of a sequence's experiment and registered model."""
    return f"renal-{code}"


def is_installed() -> bool:
    """Whether there is an MLflow to show anything in."""
    return (_INSTALLED / "mlflow").is_dir()


def is_in_step(models: ModelFolder) -> bool:
    """Whether MLflow shows what the files say; costs a look at the folders."""
    try:
        return (models.live / "mlflow" / _STEP).read_text() == _digest(models)
    except FileNotFoundError:
        return not models.codes()


def bring_in_step(models: ModelFolder) -> int:
    """Show in MLflow what the files say, where it is installed; return how many versions were new to it."""
    folder = models.live / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        digest = _digest(models)
        client = _client(models.live) if is_installed() else None
        new = sum(_show(client, models, code) for code in models.codes()) if client else 0
        write_bytes(digest.encode(), folder / _STEP)
    return new


def _digest(models: ModelFolder) -> str:
    digest = hashlib.sha256(str(is_installed()).encode())
    for code in models.codes():
        folder = models.folder(code)
        digest.update(f"{code} {sorted(path.name for path in (folder / VERSIONS).glob('*'))}".encode())
        if (folder / SERVING).is_file():
            digest.update((folder / SERVING).read_bytes())
    return digest.hexdigest()


def _client(live: Path) -> MlflowClient:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", ".*noload.*")  # of SQLAlchemy 2.1, about MLflow's tables
    sys.path.insert(0, str(_INSTALLED))
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store_uri(live), registry_uri=store_uri(live))


def _show(client: MlflowClient, models: ModelFolder, code: str) -> int:
    experiment, numbers = _experiment(client, models.live, code), _numbers(client, code)
    records = models.records(code)
    new = [record for record in records if record.version not in numbers]
    for record in new:
        numbers[record.version] = _add(client, experiment, record, models.weights(code, record.version))
    _set_aliases(client, code, numbers, records, read_serving(models.folder(code)))
    for record in records:
        state = "kept" if models.weights(code, record.version).is_file() else "pruned"
        client.set_model_version_tag(model_name(code), numbers[record.version], "weights", state)
    return len(new)


def _experiment(client: MlflowClient, live: Path, code: str) -> str:
    found = client.get_experiment_by_name(model_name(code))
    if found:
        return str(found.experiment_id)
    artifacts = (live / "mlflow" / "artifacts" / code).resolve().as_uri()
    return str(client.create_experiment(model_name(code), artifact_location=artifacts))


def _numbers(client: MlflowClient, code: str) -> dict[str, str]:
    """MLflow's own number by our version."""
    if not client.search_registered_models(f"name = '{model_name(code)}'"):
        client.create_registered_model(model_name(code), description=f"Kidneys, masses and cysts on {code}")
    found = client.search_model_versions(f"name = '{model_name(code)}'", max_results=10_000)
    return {one.tags[_VERSION_TAG]: str(one.version) for one in found if _VERSION_TAG in one.tags}


def _add(client: MlflowClient, experiment: str, record: VersionRecord, weights: Path) -> str:
    run = client.create_run(experiment, run_name=record.version).info.run_id
    _log(client, run, record)
    client.log_artifact(run, str(weights.with_suffix(RECORD)))
    tags = _tags(record)
    added = client.create_model_version(
        model_name(record.code), source=weights.resolve().as_uri(), run_id=run, tags=tags, description=record.reason
    )
    client.set_terminated(run)
    return str(added.version)


def _log(client: MlflowClient, run: str, record: VersionRecord) -> None:
    from mlflow.entities import Metric, Param, RunTag

    training = record.training
    params = {**training.settings, "seed": training.seed, "started_from": training.started_from} if training else {}
    metrics = [
        Metric(name, value, 0, report.epoch)
        for report in (training.epochs if training else ())
        for name, value in (("loss", report.loss), *((f"dice_{key}", dice) for key, dice in report.dice.items()))
        if finite(value) is not None
    ]
    for start in range(0, len(metrics), 1000):  # MLflow takes so many at once
        client.log_batch(run, metrics=metrics[start : start + 1000])
    tags = [RunTag(name, value) for name, value in _tags(record).items()]
    client.log_batch(run, params=[Param(name, str(value)) for name, value in params.items()], tags=tags)


def _tags(record: VersionRecord) -> dict[str, str]:
    facts = {
        _VERSION_TAG: record.version,
        "sha256": record.sha256,
        "source": record.source,
        "verdict": record.verdict,
        "reason": record.reason,
    }
    if record.training:
        facts |= {"code_version": record.training.code_version, "labels_sha256": record.training.labels_sha256}
        facts |= {f"environment.{name}": value for name, value in record.training.environment.items()}
    facts |= {f"gate.{name}": text for name, text in flat(figures_of(record.decision))}
    return {name: text[:_LONGEST] for name, text in facts.items()}


def _set_aliases(
    client: MlflowClient, code: str, numbers: Mapping[str, str], records: list[VersionRecord], serving: Serving | None
) -> None:
    wanted = {}
    if serving:
        wanted[CHAMPION] = numbers.get(serving.champion.version)
    newest = next((record for record in reversed(records) if record.source == "trained"), None)
    seen = {serving.champion.version, serving.previous and serving.previous.version} if serving else set()
    if newest and newest.version not in seen:
        wanted[CHALLENGER] = numbers[newest.version]
    now = client.get_registered_model(model_name(code)).aliases
    for alias in (CHAMPION, CHALLENGER):
        number = wanted.get(alias)
        if number and now.get(alias) != number:
            client.set_registered_model_alias(model_name(code), alias, number)
        elif not number and alias in now:
            client.delete_registered_model_alias(model_name(code), alias)
