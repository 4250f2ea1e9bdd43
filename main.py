"""renal-loop: a MONAI Label app (``RenalApp``) and the entry of the commands (``python main.py COMMAND``)."""

from __future__ import annotations

if __name__ == "__main__":  # before the framework is imported: a command answers in one second, not in ten
    from lib.cli.app import run

    raise SystemExit(run())

import gc
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.utils.async_tasks.task import AsyncTask

from lib import __version__
from lib.activelearning.strategy import Queues, strategies, upcoming
from lib.configs.archive import ArchiveSettings, is_web
from lib.configs.measuring import measure_waiting
from lib.configs.onboarding import drift_of
from lib.configs.retraining import retrain_schedule
from lib.configs.settings import Settings
from lib.configs.tasks import AUTO, BY_CLICKS, click_task, infer_tasks, task_name, train_tasks
from lib.configs.upkeep import sync_soon
from lib.domain.errors import BadRequestError, RenalError, StorageError, UnknownModelError
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import STRUCTURE_NAMES
from lib.infers.sequence import READERS_LABELS
from lib.infers.waiting import WaitingRoom
from lib.loop.ahead import AheadOfReaders
from lib.loop.monitoring import QualityWatch
from lib.loop.repeat import Repeating
from lib.nets.threads import limit_threads
from lib.onboarding.readiness import expected_mass_dice
from lib.pacs.archive import Archive
from lib.pacs.mirror import PacsMirror
from lib.store.cohort import FINAL, CohortStore
from lib.store.datastore import CohortDatastore
from lib.store.quality import QualityLog
from lib.store.worklist import WorkList

logger = logging.getLogger(__name__)

TRAINING_NICENESS = 10
LOOK_AHEAD_S = 30.0
MEASURE_AGAIN_S = 60.0
DECIDE_AGAIN_S = 60.0
WATCH_S = 60.0
LOST_RUNS_S = 5.0


class RenalApp(MONAILabelApp):
    """Wires the sequence table into MONAI Label; decides nothing."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.settings = Settings.from_conf(conf or {})
        self.archive = ArchiveSettings.from_conf(conf or {})
        self.mirror: PacsMirror | None = None
        self.ahead: Repeating | None = None
        self.queues = Queues()
        self.watch: Repeating | None = None
        self.retraining: Repeating | None = None
        self.exchange: Repeating | None = None
        super().__init__(
            app_dir,
            studies,
            conf,
            name="Small renal masses",
            description="Kidneys, masses and cysts on five MRI sequences",
            version=__version__,
            labels=list(STRUCTURE_NAMES),
        )

    def init_datastore(self) -> Datastore:
        """Open the cohort folder: the studies, or what is kept of a PACS."""
        folder = Path(self.studies)
        if is_web(self.studies):
            self.mirror = PacsMirror(
                Archive(self.archive.address(self.studies)),
                self.archive.folder_of(self.studies),
                centre=self.archive.centre,
                rule=self.archive.rule,
            )
            folder = self.mirror.cohort
        return CohortDatastore(CohortStore(folder, self.settings.store, self.settings.audit().append))

    def init_infers(self) -> dict[str, InferTask]:
        """One per sequence, behind ``segment_auto``; the last corrects labels by clicks."""
        carried = WaitingRoom(self._own() / "propagated") if self.settings.propagate else None
        tasks = infer_tasks(self.settings, self._waiting_room(), carried)
        return {**tasks, BY_CLICKS: click_task(self.settings, tasks[AUTO], self.datastore().newest_label)}

    def _waiting_room(self) -> WaitingRoom:
        return WaitingRoom(self._own() / "waiting")

    def _own(self) -> Path:
        own: Path = self.datastore().store.folder.own
        return own

    def init_trainers(self) -> dict[str, TrainTask]:
        """One per sequence."""
        return dict(train_tasks(self.settings, lambda: sync_soon(self.settings)))

    def init_strategies(self) -> dict[str, Strategy]:
        """MONAI Label's own reads every image on every click."""
        return strategies(self.queues)

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Propose a label for an image of the datastore, or for an uploaded one."""
        task = self._infers.get(request.get("model"))
        if task is None or not task.is_valid():
            known = ", ".join(name for name, found in self._infers.items() if found.is_valid()) or "none yet"
            msg = f"no model {request.get('model')!r} with trained weights; expected one of: {known}"
            raise UnknownModelError(msg)
        if request.get("save_label") and request.get("label_tag") == FINAL:
            msg = f"a proposal cannot be saved as {FINAL!r}; expected another label_tag: only a reader's label is final"
            raise BadRequestError(msg)
        if request.get("upload"):  # set by the server alone
            return dict(super().infer(request, datastore))
        info = (datastore or self.datastore()).get_image_info(request["image"])
        told = {"image_info": info, READERS_LABELS: self.datastore().store.examined_with(request["image"])}
        result = dict(super().infer({**request, **told}, datastore))
        reply = result["params"]
        self.datastore().note_proposal(
            request["image"],
            request["model"],
            reply["model_version"],
            expected_dice=None if reply.get("propagated_from") else expected_mass_dice(reply),  # of the network alone
            distrust=bool(reply.get("distrust")),
        )
        self._tell_worklist(lambda work: work.renew(request["image"]))
        self._look_ahead()
        return result

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """Choose a reader's next image; say whether its proposal waits already, and which model made that."""
        found = dict(super().next_sample(request) or {})
        task = self._infers[AUTO]
        if found and task.is_valid():
            store = self.datastore().store
            found["proposal"] = task.waiting(store.image_path(found["id"]), store.shown(found["id"]))
        return found

    def on_save_label(self, image_id: str, label_id: str) -> None:  # noqa: ARG002 - the framework's name
        """Let go of a submitted image; it may be the label that a retraining waits for."""
        self._tell_worklist(lambda work: work.release(image_id))
        self._look_ahead()
        if self.watch:
            self.watch.soon()
        if self.retraining:
            self.retraining.soon()
        if self.exchange:
            self.exchange.soon()

    def _tell_worklist(self, tell: Callable[[WorkList], None]) -> None:
        """Change a lease; the reader's proposal or label counts all the same when that cannot be written."""
        try:
            tell(WorkList(self.datastore().store))
        except StorageError as error:
            logger.warning("a lease could not be changed: %s", error)

    def _look_ahead(self) -> None:
        if self.ahead:
            self.ahead.soon()

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Train in the process that the server started for it, behind everything that readers wait for."""
        os.nice(TRAINING_NICENESS)
        limit_threads(self.settings.training_threads())
        try:
            return dict(super().train(request))
        except (RenalError, OSError, RuntimeError) as error:
            said = str(error) if isinstance(error, RenalError) else "see the log of the run, or of the server"
            logger.error("training failed, nothing changed: %s: %s", type(error).__name__, said)  # noqa: TRY400 - clients see this
            raise SystemExit(1) from None

    def bundle_path(self, model: str) -> None:
        """Refuse an unknown model: the one hook that /train calls before it starts a process."""
        if model and model not in self._trainers and model not in self._infers:
            msg = f"no model {model!r}; expected one of: {', '.join(self._trainers)}"
            raise UnknownModelError(msg)

    def on_init_complete(self) -> None:
        """Finish the server; a training process never comes here."""
        super().on_init_complete()
        sync_soon(self.settings)
        from lib.web.app import install

        install(self, self.conf)
        gc.collect()
        gc.freeze()  # hundreds of thousands of objects that stay: walking them held up a request now and then
        if self.mirror:
            mirror, store = self.mirror, self.datastore().store
            self.exchange = Repeating("exchange with the PACS", lambda: mirror.round(store), mirror.rule.every_s)
            self.exchange.start()
        if self.settings.ahead:
            coming = partial(upcoming, self.datastore().store, self.queues, self.settings.ahead)
            ahead = AheadOfReaders(coming, self.prepare)
            self.ahead = Repeating("ahead of readers", ahead, LOOK_AHEAD_S)
            self.ahead.start()
        if self.settings.measure:
            measure = measure_waiting(self.datastore(), self._infers[AUTO], self.settings.models())
            Repeating("measuring what waits", measure, MEASURE_AGAIN_S).start()
        store = self.datastore().store
        watch = QualityWatch(QualityLog(store), self._waiting_room().proposed, drift_of(self.settings, store))
        self.watch = Repeating("quality in use", watch, WATCH_S)
        self.watch.start()
        Repeating("lost runs", self._close_lost_runs, LOST_RUNS_S).start()
        if self.settings.schedule:
            schedule = retrain_schedule(self.settings, self.datastore().store, self._in_training, self._start_training)
            self.retraining = Repeating("retraining", schedule, DECIDE_AGAIN_S)
            self.retraining.start()

    def _close_lost_runs(self) -> None:
        for run in self.settings.runs().close_lost():
            logger.warning("run %s %s: %s", run.version, run.status, run.why)

    @staticmethod
    def _in_training() -> str:
        """Code of the sequence whose run is under way; empty when none is."""
        task, _ = AsyncTask.status("train", check_if_running=True)
        model = task["request"]["model"] if task else ""
        return next((code for code in SEQUENCES if task_name(code) == model), "")

    @staticmethod
    def _start_training(code: str, device: str, options: Mapping[str, Any]) -> None:
        AsyncTask.run("train", {"device": device, **options, "model": task_name(code)})

    def prepare(self, image_id: str) -> None:
        """Let the proposal of an image wait for its reader."""
        datastore, task = self.datastore(), self._infers[AUTO]
        if task.is_valid():
            path, info = Path(datastore.get_image_uri(image_id)), datastore.get_image_info(image_id)
            task.prepare(path, info, datastore.store.examined_with(image_id))
