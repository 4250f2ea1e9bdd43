"""Settings of one installation: ``--conf NAME VALUE`` of the server, else the environment, else the default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

from lib.configs.rules import read_rule
from lib.domain.errors import BadRequestError
from lib.loop.label_quality import LabelRule
from lib.loop.label_review import LabelReviews
from lib.loop.policy import RetrainRule
from lib.loop.splits import DEFAULT_SALT
from lib.registry.audit import AuditLog
from lib.registry.changes import FEWEST_KEPT, Registry
from lib.registry.models import ModelFolder
from lib.registry.promotion import GateRule
from lib.registry.runs import Runs

ENVIRONMENT_PREFIX = "RENAL_LOOP_"
APP_FOLDER = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a site may change.

    Attributes:
        live: Folder that retrained models, their registry and the audit log are written to.
        shipped: Folder of the weights to begin with; those that come with the app when empty.
        keep: Weight files of so many versions per sequence are kept.
        device: ``auto`` (CUDA when there is one), ``cpu`` or ``cuda``.
        salt: Of the patient split; set once, before the first training.
        minutes: Longest training run, unless the request says otherwise.
        epochs: A training run takes so many epochs, whatever the time: the same run gives the same weights; 0 for none.
        threads: CPU threads of a training run; 0 for half of the cores, so that readers keep the others.
        processes: That train one network together, one a GPU.
        ahead: How many of the next cases are segmented before anybody opens them; 0 for none.
        propagate: Whether readers' labels are carried over to the other sequences of an examination.
        measure: Whether images that wait are measured in the background, for the strategies that look at proposals.
        schedule: Whether the server retrains by itself, as ``retraining`` says.
        store: Database of images and labels, as SQLAlchemy writes it; SQLite inside the cohort folder when empty.
        gate: Which challenger goes live; settings ``gate_...``.
        retraining: When a sequence is trained again; settings ``retrain_...``.
        labels: Which labels are suspicious; settings ``labels_...``.
    """

    live: str = str(APP_FOLDER / "model" / "live")
    shipped: str = ""
    keep: int = 10
    device: str = "auto"
    salt: str = DEFAULT_SALT
    minutes: float = 30.0
    epochs: int = 0
    threads: int = 0
    processes: int = 1
    ahead: int = 3
    propagate: bool = True
    measure: bool = True
    schedule: bool = True
    store: str = ""
    gate: GateRule = field(default_factory=GateRule)
    retraining: RetrainRule = field(default_factory=RetrainRule)
    labels: LabelRule = field(default_factory=LabelRule)

    @classmethod
    def from_conf(cls, conf: Mapping[str, str]) -> Settings:
        """Read the settings of a server.

        Raises:
            BadRequestError: When ``minutes`` is not a positive number, ``ahead``, ``epochs`` or ``threads`` not a
                whole one, ``keep`` or ``processes`` too small, or a rule's figure is out of range.
        """
        look_up = partial(looked_up, conf)
        given = {item.name: value for item in fields(cls) if (value := look_up(item.name)) is not None}
        return cls(
            live=given.get("live", cls().live),
            shipped=given.get("shipped", cls().shipped),
            keep=_count("keep", given.get("keep", str(cls().keep)), least=FEWEST_KEPT),
            device=given.get("device", cls().device),
            salt=given.get("salt", cls().salt),
            store=given.get("store", cls().store),
            minutes=_minutes(given.get("minutes", str(cls().minutes))),
            epochs=_count("epochs", given.get("epochs", str(cls().epochs))),
            threads=_count("threads", given.get("threads", str(cls().threads))),
            processes=_count("processes", given.get("processes", str(cls().processes)), least=1),
            ahead=_count("ahead", given.get("ahead", str(cls().ahead))),
            propagate=_switch("propagate", given.get("propagate", "on")),
            measure=_switch("measure", given.get("measure", "on")),
            schedule=_switch("schedule", given.get("schedule", "on")),
            gate=read_rule(GateRule, "gate", look_up),
            retraining=read_rule(RetrainRule, "retrain", look_up),
            labels=read_rule(LabelRule, "labels", look_up),
        )

    def models(self) -> ModelFolder:
        """Return the folders of the weights."""
        return ModelFolder(
            shipped=Path(self.shipped) if self.shipped else APP_FOLDER / "model" / "shipped", live=Path(self.live)
        )

    def audit(self) -> AuditLog:
        """Return the log of what was done."""
        return AuditLog(Path(self.live))

    def runs(self) -> Runs:
        """Return the records of training runs."""
        return Runs(live=Path(self.live), record=self.audit().append)

    def reviews(self) -> LabelReviews:
        """Return what was found about labels."""
        return LabelReviews(live=Path(self.live), record=self.audit().append)

    def training_threads(self) -> int:
        """CPU threads of a training run."""
        return self.threads or max(1, (os.cpu_count() or 1) // 2)

    def registry(self) -> Registry:
        """Return what changes which version serves."""
        return Registry(models=self.models(), audit=self.audit(), keep=self.keep)


def looked_up(conf: Mapping[str, str], name: str) -> str | None:
    """What a setting was given as, by the command, else in the environment; None when it was not."""
    return conf.get(name, os.environ.get(ENVIRONMENT_PREFIX + name.upper()))


def _count(name: str, text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        msg = f"setting {name} is {text!r}; expected a whole number, {least} or more"
        raise BadRequestError(msg)
    return int(text)


def _switch(name: str, text: str) -> bool:
    if text not in ("on", "off"):
        msg = f"setting {name} is {text!r}; expected 'on' or 'off'"
        raise BadRequestError(msg)
    return text == "on"


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not minutes > 0:
        msg = f"setting minutes is {text!r}; expected a positive number"
        raise BadRequestError(msg)
    return minutes
