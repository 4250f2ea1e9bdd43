"""``/train`` and ``/batch/infer``: the framework's background processes, with options that are known and no others."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil
from fastapi.responses import JSONResponse
from monailabel.endpoints import batch_infer, train
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType

from lib.configs.tasks import task_name
from lib.domain.errors import BadRequestError
from lib.domain.sequences import SEQUENCES
from lib.loop.decisions import read_decisions
from lib.loop.requests import ask
from lib.registry.runs import Run
from lib.web.door import TheDoor, TheUser
from lib.web.parameters import only

_NUMBER = (int, float)
TRAIN_OPTIONS: dict[str, type | tuple[type, ...]] = {
    "minutes": _NUMBER,
    "learning_rate": _NUMBER,
    "batch_size": int,
    "epochs": int,
    "max_epochs": int,
    "steps_per_epoch": int,
    "seed": int,
    "device": str,
}
BATCH_OPTIONS: dict[str, type | tuple[type, ...]] = {
    "save_label": bool,
    "label_tag": str,
    "max_batch_size": int,
    "sequence": str,
}
_BATCH = {"save_label": True, "label_tag": "original", "max_workers": 1, "multi_gpu": False}


class Images(StrEnum):
    """Which images a batch proposes for."""

    ALL = BatchInferImageType.IMAGES_ALL.value
    LABELED = BatchInferImageType.IMAGES_LABELED.value
    UNLABELED = BatchInferImageType.IMAGES_UNLABELED.value


def status(door: TheDoor, all: bool = False, check_if_running: bool = False) -> JSONResponse:  # noqa: A002
    """Read how the training goes: the task, and under ``run`` its epochs so far, the seconds left, how it ended."""
    task = train.status(all, check_if_running)
    latest = None if all else door.app.settings.runs().latest()
    return _shown({**task, "run": latest.to_json()} if latest and not _is_earlier(latest, task) else task)


def runs(door: TheDoor) -> JSONResponse:
    """Read every run, newest first."""
    return JSONResponse({"runs": [run.to_json() for run in reversed(door.app.settings.runs().all())]})


def decisions(door: TheDoor) -> JSONResponse:
    """Read what the policy decided last about each sequence, and what it decided before."""
    return JSONResponse(read_decisions(Path(door.app.settings.live)))


def start(
    door: TheDoor,
    user: TheUser,
    model: str,
    params: dict[str, Any] | None = None,
    run_sync: bool = False,
    enqueue: bool = False,
) -> JSONResponse:
    """Train one sequence's model now; with ``enqueue`` as soon as the policy finds a device, through restarts."""
    _in_background(run_sync)
    door.app.bundle_path(model)
    options, code = _options(params, model), next((code for code in SEQUENCES if task_name(code) == model), "")
    if not (enqueue and code and door.app.retraining):
        return _shown(train.run_model(model, options, False, enqueue))
    request = ask(Path(door.app.settings.live), code, who=user.name or "an admin", options=options)
    door.app.retraining.soon()
    return JSONResponse({"status": "QUEUED", "request": {"model": model, **options}, "start_ts": request.at})


def start_all(door: TheDoor, params: dict[str, Any] | None = None, run_sync: bool = False) -> JSONResponse:
    """Train every sequence's model, one after the other."""
    _in_background(run_sync)
    return _shown(
        {
            model: {"result": train.run_model(model, _options(params, model), False, True), "detail": None}
            for model in door.app.info()["trainers"]
        }
    )


def stop(door: TheDoor, user: TheUser) -> JSONResponse:
    """Stop the training that runs."""
    for code in SEQUENCES:
        door.app.settings.runs().ask_to_stop(code, user.name)
    return _stopped(train.stop)


def batch_status(all: bool = False, check_if_running: bool = False) -> JSONResponse:  # noqa: A002
    """Read how the batch of proposals goes."""
    return _shown(batch_infer.status(all, check_if_running))


def batch_start(
    door: TheDoor,
    model: str,
    images: Images = Images.ALL,
    params: dict[str, Any] | None = None,
    run_sync: bool = False,
) -> JSONResponse:
    """Propose for many images."""
    _in_background(run_sync)
    door.app.bundle_path(model)
    options = {**_BATCH, **only(params or {}, BATCH_OPTIONS)}
    return _shown(batch_infer.run(model, BatchInferImageType(images.value), options, False))


def batch_stop() -> JSONResponse:
    """Stop the batch of proposals that runs."""
    return _stopped(batch_infer.stop)


def _options(params: dict[str, Any] | None, model: str) -> dict[str, Any]:
    """Options of one model: by its name, as for all models, or plain."""
    told = params or {}
    own = told.get(model, told)
    if not isinstance(own, dict):
        msg = f"the options are {type(own).__name__}; expected a JSON object"
        raise BadRequestError(msg)
    return only(own, TRAIN_OPTIONS)


def _is_earlier(run: Run, task: dict[str, Any]) -> bool:
    """Whether the newest run is the one before, because the process of the task that is going has noted none yet."""
    started = datetime.fromisoformat(task["start_ts"]).astimezone()  # the framework writes local time, whole seconds
    return "end_ts" not in task and datetime.fromisoformat(run.began) < started


def _in_background(run_sync: bool) -> None:
    if run_sync:
        msg = "run_sync is true; expected false: training runs in the background, GET /train/ shows how it goes"
        raise BadRequestError(msg)


def _stopped(stop: Any) -> JSONResponse:
    try:
        return _shown(stop())
    except (psutil.Error, StopIteration, IndexError):  # it ended by itself in this moment
        return _shown(None)


def _shown(result: Any) -> JSONResponse:
    """A task as JSON; its newest lines are a queue that another thread fills."""
    return JSONResponse(_plain(result))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value.copy()] if hasattr(value, "popleft") or isinstance(value, list) else value
