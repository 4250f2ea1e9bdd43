"""How good proposals were in use: what waits to be compared, and every figure by sequence and scanner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from lib.domain.records import scanner_name
from lib.store.cohort import FINAL, CohortStore
from lib.store.index import ImageRow, ProposalRow, QualityRow, VersionRow

_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncompared:
    """A proposal that a reader has answered with a final label, and nobody has compared the two.

    Attributes:
        label: The reader's version, a file that never changes.
        drawn: Structures that the reader drew.
    """

    proposal_id: int
    image_id: str
    model_version: str
    version_id: int
    label: Path
    drawn: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalQuality:
    """One proposal's figures; None what is not known (yet).

    Attributes:
        created: When it was given.
        expected_dice: Of the masses, as the server expected it.
        drift: How foreign its image looks; 1 is the limit of the training images.
        mass_dice: Between proposal and final label; None also when neither holds a mass.
        compared: Empty until compared; else ``yes``, or why that could not be done.
    """

    proposal_id: int
    image_id: str
    sequence: str
    scanner: str
    model_version: str
    created: datetime
    expected_dice: float | None
    distrust: bool
    drift: float | None
    mass_dice: float | None
    kidney_dice: float | None
    compared: str


class QualityLog:
    """Figures of the proposals of one cohort; every change is one transaction."""

    def __init__(self, store: CohortStore) -> None:
        self._store = store

    def uncompared(self) -> list[Uncompared]:
        """What waits for a comparison, oldest first; a few at once."""
        query = (
            select(VersionRow, ProposalRow)
            .join(ProposalRow, ProposalRow.id == VersionRow.proposal_id)
            .join(QualityRow, QualityRow.proposal_id == ProposalRow.id)
            .where((QualityRow.compared == "") & (VersionRow.tag == FINAL) & VersionRow.structures.is_not(None))
            .order_by(VersionRow.id)
            .limit(_AT_ONCE)
        )
        with self._store.index.read() as session:
            first: dict[int, Uncompared] = {}
            for version, proposal in session.execute(query):
                first.setdefault(
                    proposal.id,
                    Uncompared(
                        proposal_id=proposal.id,
                        image_id=proposal.image_id,
                        model_version=proposal.model_version,
                        version_id=version.id,
                        label=self._store.folder.version(version.file),
                        drawn=frozenset(version.structures or ()),
                    ),
                )
        return list(first.values())

    def compare(self, waiting: Uncompared, dice: Mapping[str, float | None], verdict: str) -> None:
        """Note what a comparison gave.

        Args:
            waiting: What was compared.
            dice: By structure; empty when it could not be done.
            verdict: ``yes``, or why not.
        """
        with self._store.index.write() as session:
            row = session.get_one(QualityRow, waiting.proposal_id)
            row.version_id, row.compared = waiting.version_id, verdict
            row.mass_dice, row.kidney_dice = dice.get("mass"), dice.get("kidney")

    def without_drift(self) -> list[tuple[str, list[int]]]:
        """Images whose look is not measured yet, each with its proposals; a few at once."""
        query = (
            select(ProposalRow.image_id, ProposalRow.id)
            .join(QualityRow, QualityRow.proposal_id == ProposalRow.id)
            .join(ImageRow, ImageRow.image_id == ProposalRow.image_id)
            .where(QualityRow.drift.is_(None) & ImageRow.present)
            .order_by(ProposalRow.id.desc())
            .limit(_AT_ONCE)
        )
        found: dict[str, list[int]] = {}
        with self._store.index.read() as session:
            for image_id, proposal_id in session.execute(query):
                found.setdefault(image_id, []).append(proposal_id)
        return list(found.items())

    def known_drift(self, image_id: str) -> float | None:
        """What an earlier proposal's image was measured as."""
        query = (
            select(QualityRow.drift)
            .join(ProposalRow, ProposalRow.id == QualityRow.proposal_id)
            .where((ProposalRow.image_id == image_id) & QualityRow.drift.is_not(None))
            .limit(1)
        )
        with self._store.index.read() as session:
            return session.scalar(query)

    def note_drift(self, proposals: list[int], drift: float) -> None:
        """Note how foreign an image looks."""
        with self._store.index.write() as session:
            for proposal_id in proposals:
                session.get_one(QualityRow, proposal_id).drift = drift

    def all(self) -> list[ProposalQuality]:
        """Every proposal's figures, oldest first."""
        query = (
            select(ProposalRow, QualityRow, ImageRow)
            .join(QualityRow, QualityRow.proposal_id == ProposalRow.id)
            .join(ImageRow, ImageRow.image_id == ProposalRow.image_id)
            .order_by(ProposalRow.id)
        )
        with self._store.index.read() as session:
            return [
                ProposalQuality(
                    proposal_id=proposal.id,
                    image_id=proposal.image_id,
                    sequence=image.sequence,
                    scanner=scanner_name(image.vendor, image.scanner_model),
                    model_version=proposal.model_version,
                    created=datetime.fromtimestamp(proposal.created_ns / 1e9, UTC),
                    expected_dice=quality.expected_dice,
                    distrust=quality.distrust,
                    drift=quality.drift,
                    mass_dice=quality.mass_dice,
                    kidney_dice=quality.kidney_dice,
                    compared=quality.compared,
                )
                for proposal, quality, image in session.execute(query)
            ]
