"""The index: tables, and transactions that say clearly why they failed.

SQLite in WAL mode is the embedded default; any SQLAlchemy URL works. One database belongs to one cohort folder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import time
from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Integer,
    String,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateColumn

from lib.domain.errors import BadCohortError, StorageError, StorageFullError

SCHEMA = "1"
_BUSY_S = 30
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_WRITES = "renal_loop_writes"


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, list[float]: JSON, list[int]: JSON}  # noqa: RUF012


class ImageRow(Base):
    """An image of the folder; a row outlives its file (``present`` is then false)."""

    __tablename__ = "images"
    image_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    file: Mapped[str] = mapped_column(String(255))
    present: Mapped[bool] = mapped_column(index=True)
    patient_id: Mapped[str] = mapped_column(String(255), index=True)
    study: Mapped[str] = mapped_column(String(255), default="")
    study_date: Mapped[str] = mapped_column(String(10), default="", server_default="")
    sequence: Mapped[str] = mapped_column(String(32), index=True)
    centre: Mapped[str] = mapped_column(String(255), default="")
    vendor: Mapped[str] = mapped_column(String(64), default="")
    scanner_model: Mapped[str] = mapped_column(String(255), default="")
    field_t: Mapped[float] = mapped_column(Float, default=0.0)
    clinical: Mapped[dict[str, Any]] = mapped_column(default=dict)
    recognised_by: Mapped[str] = mapped_column(String(32), default="")
    recognition: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    info: Mapped[dict[str, Any]] = mapped_column(default=dict)
    shape: Mapped[list[int] | None]
    affine: Mapped[list[float] | None]
    measured_ns: Mapped[int | None] = mapped_column(BigInteger)
    added_ns: Mapped[int] = mapped_column(BigInteger, default=time.time_ns)


class VersionRow(Base):
    """One version of a label; never changed in what it says about the file, never removed."""

    __tablename__ = "label_versions"
    __table_args__ = (UniqueConstraint("image_id", "tag", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.image_id"))
    tag: Mapped[str] = mapped_column(String(64))
    number: Mapped[int] = mapped_column(Integer)
    file: Mapped[str] = mapped_column(String(512))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    created_ns: Mapped[int] = mapped_column(BigInteger)
    author: Mapped[str] = mapped_column(String(255), default="")
    source: Mapped[str] = mapped_column(String(32))
    structures: Mapped[list[str] | None]
    proposal_id: Mapped[int | None] = mapped_column(ForeignKey("proposals.id"))
    model_version: Mapped[str] = mapped_column(String(255), default="")
    minutes: Mapped[float | None]
    info: Mapped[dict[str, Any]] = mapped_column(default=dict)
    refused: Mapped[str | None] = mapped_column(Text)


class HeadRow(Base):
    """Which version of an image's label counts, per tag."""

    __tablename__ = "label_heads"
    tag: Mapped[str] = mapped_column(String(64), primary_key=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.image_id"), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("label_versions.id"))


class ProposalRow(Base):
    """A proposal that the server gave for an image."""

    __tablename__ = "proposals"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.image_id"), index=True)
    task: Mapped[str] = mapped_column(String(255))
    model_version: Mapped[str] = mapped_column(String(255))
    created_ns: Mapped[int] = mapped_column(BigInteger)


class QualityRow(Base):
    """How good a proposal was: what was expected of it, how foreign its image looks, what its reader made of it."""

    __tablename__ = "proposal_quality"
    proposal_id: Mapped[int] = mapped_column(ForeignKey("proposals.id"), primary_key=True)
    expected_dice: Mapped[float | None]
    distrust: Mapped[bool] = mapped_column(default=False)
    drift: Mapped[float | None]
    version_id: Mapped[int | None] = mapped_column(ForeignKey("label_versions.id"))
    mass_dice: Mapped[float | None]
    kidney_dice: Mapped[float | None]
    compared: Mapped[str] = mapped_column(Text, default="")


class LeaseRow(Base):
    """Who is labelling an image, and until when nobody else gets it; ``done`` once they have submitted it."""

    __tablename__ = "leases"
    image_id: Mapped[str] = mapped_column(ForeignKey("images.image_id"), primary_key=True)
    holder: Mapped[str] = mapped_column(String(255))
    until_s: Mapped[float] = mapped_column(Float)
    done: Mapped[bool] = mapped_column(default=False)


class SkipRow(Base):
    """A reader did not want to label an image, and why."""

    __tablename__ = "skips"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.image_id"), index=True)
    holder: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str] = mapped_column(Text)
    created_ns: Mapped[int] = mapped_column(BigInteger, default=time.time_ns)


class ScoreRow(Base):
    """What was measured on an image's proposal, to decide which image comes next."""

    __tablename__ = "scores"
    image_id: Mapped[str] = mapped_column(ForeignKey("images.image_id"), primary_key=True)
    made_from: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[str] = mapped_column(String(255))
    uncertainty: Mapped[dict[str, Any]] = mapped_column(default=dict)
    disagreement: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_ns: Mapped[int] = mapped_column(BigInteger, index=True)


class MarkRow(Base):
    """What is known of the database itself."""

    __tablename__ = "marks"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Index:
    """Transactions on one database. Safe to share between threads; each process opens its own."""

    def __init__(self, url: str, cohort: str) -> None:
        """Open the database, and create its tables on first use.

        Args:
            url: As SQLAlchemy writes it.
            cohort: Identity of the cohort folder that the database belongs to.

        Raises:
            BadCohortError: When it was written by a newer version, or belongs to another cohort folder.
            StorageError: When it cannot be opened.
        """
        with storage_errors():
            self._engine = _engine(url)
            Base.metadata.create_all(self._engine)
            _add_columns(self._engine)
        with self.write() as session:
            self._check_mark(session, "schema", SCHEMA, "was written by another version of this software")
            self._check_mark(session, "cohort", cohort, "belongs to another cohort folder")

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """See one consistent state.

        Raises:
            StorageError: When the database cannot be read.
        """
        with storage_errors(), Session(self._engine) as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """Change everything or nothing; on SQLite, one writer at a time.

        Raises:
            StorageFullError: When there is no room.
            StorageError: When the database cannot be written.
        """
        writing = self._engine.execution_options(**{_WRITES: True})
        with storage_errors(), Session(writing, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    @staticmethod
    def _check_mark(session: Session, name: str, value: str, complaint: str) -> None:
        found = session.get(MarkRow, name)
        if found is None:
            session.add(MarkRow(name=name, value=value))
        elif found.value != value:
            msg = f"the label index {complaint}; expected {name} {value!r}, found {found.value!r}"
            raise BadCohortError(msg)


def is_marked(session: Session, name: str) -> bool:
    """Whether something that is done once has been done."""
    return session.scalar(select(MarkRow.name).where(MarkRow.name == name)) is not None


def _add_columns(engine: Engine) -> None:
    """Add to tables that an earlier version made what this one keeps besides."""
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            there = {column["name"] for column in inspect(connection).get_columns(table.name)}
            for column in table.columns:
                if column.name not in there:
                    described = CreateColumn(column).compile(dialect=engine.dialect)
                    connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {described}"))


def _engine(url: str) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, json_deserializer=_from_json)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _from_json(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # NaN, or half of a character, which clients can send and the index keeps
        return json.loads(text)


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # sqlite3's own transactions start too late to take the write lock first
    for pragma in (
        f"busy_timeout = {_BUSY_S * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",  # an answered label survives a power cut
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what disks and databases raise into answers; their own words may hold paths and ids."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full() from error
        raise
    except DBAPIError as error:
        if "full" in str(error.orig).lower():  # SQLite: "database or disk is full"; PostgreSQL: "disk full"
            raise _full() from error
        msg = f"the label index cannot be used ({type(error.orig).__name__}); nothing was changed, try again"
        raise StorageError(msg) from error


def _full() -> StorageFullError:
    return StorageFullError("there is no room left on the disk; nothing was changed, free some space and try again")
