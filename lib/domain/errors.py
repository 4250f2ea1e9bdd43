"""Every exception this app raises; the doors (web, command line) catch the base class once.

RenalError                      bad input: exit code 2, HTTP 400
├── UnknownSequenceError        a code that is not in SEQUENCES
├── UnknownStructureError       a name or value that is not in STRUCTURES
├── BadCohortError              a cohort folder or cohort.csv that cannot be used
├── BadImageError               a file that is not a usable 3-D image
│   └── GeometryError           arrays that do not share a grid
├── BadDicomError               a DICOM folder, archive or series that cannot be used
├── BadKeyError                 a key file for pseudonyms that cannot be trusted
├── BadLabelError               values outside the table, or not integers
├── BadPredictionsError         a folder of predictions that cannot be used
├── BadReportError              a report.json that cannot be read
├── BadBackupError              a backup that cannot be made, trusted or put back
├── BadRequestError             a request that cannot be understood
├── UnknownImageError           an image id that the datastore does not hold (HTTP 404)
├── UnknownModelError           a task or model version that does not exist (HTTP 404)
├── BadWeightsError             a weight file that cannot be trusted
├── WorkerError                 one of several training processes was lost
├── NotEnoughLabelsError        too few labelled patients to train (HTTP 409)
├── LeasedError                 somebody else is labelling that image (HTTP 409)
├── UnrecognisedSeriesError     no rule tells which sequence an image is
├── RegistrationError           two images that could not be aligned
├── BadUsersError               a file of users, a name, role or password that cannot be used
├── NotLoggedInError            nobody is logged in (HTTP 401)
├── ForbiddenError              the user, or anyone, may not do this (HTTP 403)
├── TooLargeError               more was sent than is taken (HTTP 413)
├── BusyError                   too many requests; says when to come back (HTTP 429)
├── TooSlowError                the answer took too long (HTTP 504)
├── ArchiveError                the PACS cannot be reached, or answers nonsense (HTTP 502)
│   └── ArchiveTimeoutError     the PACS does not answer in time (HTTP 504)
└── StorageError                labels cannot be read or written just now (HTTP 503)
    └── StorageFullError        no room on the disk (HTTP 507)

A message says what was seen and what was expected; it never carries a patient's name, id or path.
"""

from __future__ import annotations


class RenalError(Exception):
    """Base of every error a user can cause; ``status`` is the HTTP answer for it."""

    status = 400


class UnknownSequenceError(RenalError):
    """A sequence code that is not in the table."""


class UnknownStructureError(RenalError):
    """A structure name or value that is not in the table."""


class BadCohortError(RenalError):
    """A cohort folder that cannot be used."""


class BadImageError(RenalError):
    """A file that is not a usable three-dimensional image."""


class GeometryError(BadImageError):
    """Arrays that should share a grid and do not."""


class BadDicomError(RenalError):
    """A DICOM folder, archive or series that cannot be used."""


class BadKeyError(RenalError):
    """A key file for pseudonyms that cannot be trusted."""


class BadLabelError(RenalError):
    """A label whose values cannot be accepted."""


class BadPredictionsError(RenalError):
    """A folder of predictions that cannot be used."""


class BadBackupError(RenalError):
    """A backup that cannot be made, trusted or put back."""


class BadReportError(RenalError):
    """An evaluation report that cannot be read."""


class BadRequestError(RenalError):
    """A request that cannot be understood."""


class UnknownImageError(RenalError):
    """An image id that the datastore does not hold."""

    status = 404


class UnknownModelError(RenalError):
    """A task or model version that does not exist."""

    status = 404


class BadWeightsError(RenalError):
    """A weight file that cannot be trusted."""

    status = 500


class WorkerError(RenalError):
    """One of several training processes ended without a word."""

    status = 500


class NotEnoughLabelsError(RenalError):
    """Too few labelled patients to train on."""

    status = 409


class LeasedError(RenalError):
    """Somebody else is labelling that image."""

    status = 409


class UnrecognisedSeriesError(RenalError):
    """Nothing tells which sequence an image is."""

    status = 422


class BadUsersError(RenalError):
    """A file of users, a name, role or password that cannot be used."""


class NotLoggedInError(RenalError):
    """A request that needs a user, without one."""

    status = 401


class ForbiddenError(RenalError):
    """A request that this user, or anyone, may not make."""

    status = 403


class UnknownProviderError(RenalError):
    """A login elsewhere, on a server that knows no provider."""

    status = 404


class ProviderError(RenalError):
    """The provider of logins cannot be reached, or answers nonsense."""

    status = 502


class TooLargeError(RenalError):
    """More was sent than is taken."""

    status = 413


class BusyError(RenalError):
    """Too many requests at once, or in a short time."""

    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooSlowError(RenalError):
    """The answer took longer than a request may."""

    status = 504


class ArchiveError(RenalError):
    """The PACS cannot be reached, or answers nonsense."""

    status = 502


class ArchiveTimeoutError(ArchiveError):
    """The PACS does not answer in time."""

    status = 504


class StorageError(RenalError):
    """The store cannot be read or written just now."""

    status = 503


class StorageFullError(StorageError):
    """There is no room to write."""

    status = 507


class RegistrationError(RenalError):
    """Two images that could not be aligned."""

    status = 422
