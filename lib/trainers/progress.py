"""How a training run's progress reads, in the log and at /train."""

from __future__ import annotations

from lib.domain.records import EpochReport


def progress_line(report: EpochReport) -> str:
    """One line a person can follow: epoch, loss, validation Dice, time left."""
    dice = " ".join(f"{name} {value:.3f}" for name, value in report.dice.items()) or "-"
    return (
        f"epoch {report.epoch}/{report.epochs} loss {report.loss:.4f} validation Dice {dice} ETA {report.eta_s:.0f} s"
    )
