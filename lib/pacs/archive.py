"""The PACS over DICOMweb: what is asked of it, and its failures by name. No address, UID or secret is logged."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from lib.domain.errors import ArchiveError, ArchiveTimeoutError
from lib.ingest.dicom_slices import UNREADABLE, quiet_pydicom

for name in ("dicomweb_client", "urllib3", "httpx"):  # they log addresses with UIDs
    logging.getLogger(name).setLevel(logging.ERROR)

_CONNECT_S = 5.0
_CHUNK_BYTES = 16_000_000
_PAGE = 500
_PIXELS = "7FE0"
_STUDY, _SERIES, _COUNT = "0020000D", "0020000E", "00201209"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a PACS is and how it is asked.

    Attributes:
        url: Of its DICOMweb service.
        headers: What every request carries, as ``Authorization``.
        timeout_s: Longest wait for an answer to begin or go on.
        query: Further conditions of every search, by DICOM keyword.
        search, retrieve, store: What this PACS puts before the paths of QIDO, WADO and STOW.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 30.0
    query: Mapping[str, str] = field(default_factory=dict)
    search: str = ""
    retrieve: str = ""
    store: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSeries:
    """A series that the PACS lists; ``count`` is None when it does not say how many images it has."""

    study_uid: str
    series_uid: str
    count: int | None


class _Session(requests.Session):
    """Waits only so long, follows nothing elsewhere, reads no settings of this user's."""

    def __init__(self, address: Address) -> None:
        super().__init__()
        self.trust_env = False
        self.max_redirects = 0
        self.headers.update(address.headers)
        self._wait_s = (min(_CONNECT_S, address.timeout_s), address.timeout_s)

    def request(self, *args: Any, **options: Any) -> requests.Response:
        return super().request(*args, **{**options, "timeout": self._wait_s})


class Archive:
    """One PACS."""

    def __init__(self, address: Address) -> None:
        self._query = dict(address.query)
        self._session = _Session(address)
        self._client = DICOMwebClient(
            address.url.rstrip("/"),
            session=self._session,
            qido_url_prefix=address.search or None,
            wado_url_prefix=address.retrieve or None,
            stow_url_prefix=address.store or None,
            chunk_size=_CHUNK_BYTES,
        )
        self._client.set_http_retry_params(retry=False)

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()

    def series(self, modality: str) -> list[FoundSeries]:
        """Every series of a modality.

        Raises:
            ArchiveError: When the PACS fails; ArchiveTimeoutError when it does not answer in time.
        """
        found: dict[str, FoundSeries] = {}
        while True:
            with archive_errors():
                page = self._client.search_for_series(
                    search_filters={**self._query, "Modality": modality},
                    fields=["NumberOfSeriesRelatedInstances"],
                    limit=_PAGE,
                    offset=len(found),
                )
                new = {one.series_uid: one for one in map(_found, page) if one.series_uid not in found}
            found |= new
            if len(page) < _PAGE or not new:  # some PACSs know no offset and give the same page again
                return list(found.values())

    def headers(self, study_uid: str, series_uid: str) -> list[Dataset]:
        """The headers of a series' images, without pixels and what else the PACS keeps apart.

        Raises:
            ArchiveError: As above, also when a header cannot be read.
        """
        with archive_errors(), quiet_pydicom():
            items = self._client.retrieve_series_metadata(study_uid, series_uid)
            return [Dataset.from_json({tag: said for tag, said in one.items() if tag[:4] != _PIXELS}) for one in items]

    def images(self, study_uid: str, series_uid: str) -> Iterator[Dataset]:
        """A series' images with their pixels, one after the other.

        Raises:
            ArchiveError: As above.
        """
        with archive_errors():
            images = self._client.iter_series(study_uid, series_uid)
        while True:
            with archive_errors(), quiet_pydicom():
                image = next(images, None)
            if image is None:
                return
            yield image

    def object(self, study_uid: str, series_uid: str, sop_uid: str) -> Dataset:
        """One whole object.

        Raises:
            ArchiveError: As above.
        """
        with archive_errors(), quiet_pydicom():
            found: Dataset = self._client.retrieve_instance(study_uid, series_uid, sop_uid)
            return found

    def store(self, objects: Sequence[Dataset]) -> None:
        """Store objects; the same one again changes nothing.

        Raises:
            ArchiveError: As above, also when the PACS does not take all of them.
        """
        with archive_errors(), quiet_pydicom():
            answer = self._client.store_instances(objects)
            refused = answer.get("FailedSOPSequence") or []
        if refused:
            code = int(refused[0].get("FailureReason", 0))
            msg = f"the PACS did not take {len(refused)} of {len(objects)} objects (reason {code:04X}); expected all"
            raise ArchiveError(msg)


def _found(item: Mapping[str, Any]) -> FoundSeries:
    count = _value(item, _COUNT)
    return FoundSeries(
        study_uid=str(_value(item, _STUDY) or ""),
        series_uid=str(_value(item, _SERIES) or ""),
        count=int(count) if count is not None else None,
    )


def _value(item: Mapping[str, Any], tag: str) -> Any:
    values = item.get(tag, {}).get("Value") or [None]
    return values[0]


@contextmanager
def archive_errors() -> Iterator[None]:
    """Turn what connections and answers raise into named errors; their own words hold addresses and UIDs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except requests.Timeout:
        msg = "the PACS does not answer in time"
        raise ArchiveTimeoutError(msg) from None
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        msg = f"the PACS answers {status}; expected an answer of DICOMweb"
        raise ArchiveError(msg) from None
    except requests.RequestException as error:
        msg = f"the PACS cannot be reached ({type(error).__name__})"
        raise ArchiveError(msg) from None
    except (InvalidDicomError, *UNREADABLE) as error:
        msg = f"the PACS sends what cannot be read ({type(error).__name__}); expected DICOM"
        raise ArchiveError(msg) from None
