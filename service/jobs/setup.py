"""The database and the files of jobs, as the settings name them."""

from __future__ import annotations

from pathlib import Path

import structlog

from service.jobs.database import Database
from service.jobs.places import Places
from service.jobs.storage import Area, StorageError, StorageUrlError, open_area
from service.settings import Settings

log = structlog.get_logger(__name__)


def open_database(settings: Settings) -> Database:
    """The database of jobs; nothing is asked of it yet.

    Args:
        settings: `database_url`, or `state_folder`.

    Raises:
        DatabaseSetupError: If the URL is of something else.
    """
    url = settings.database_url.get_secret_value()
    return Database(url or f"sqlite:///{_state_folder(settings) / 'jobs.db'}")


def open_places(settings: Settings) -> Places:
    """Where files of jobs are; nothing is asked of the storage yet.

    Args:
        settings: `artifacts_url`, or `state_folder`; what jobs may read and write.

    Raises:
        StorageUrlError: If the URL is of something else.
        StorageError: If the environment has settings for S3 that cannot be.
    """
    url = settings.artifacts_url or (_state_folder(settings) / "artifacts").as_uri()
    try:
        artifacts = open_area(url, settings.storage_timeout_seconds)
    except StorageUrlError as error:
        raise StorageUrlError(f"GANSERVE_ARTIFACTS_URL: {error}") from None
    return Places(
        artifacts,
        settings.max_upload_bytes,
        tuple(settings.job_inputs),
        tuple(settings.job_outputs),
        settings.storage_timeout_seconds,
    )


async def check_artifacts(artifacts: Area) -> None:
    """Finds out, before there is any job, whether its files can be kept.

    Args:
        artifacts: Where.

    Raises:
        StorageError: They cannot, until somebody does something about it; the text says what is wrong. If
            storage is only away now, that is logged, as it comes back.
    """
    try:
        await artifacts.prepare()
    except StorageError as error:
        if error.retryable:
            log.warning("files of jobs cannot be stored now", artifacts=artifacts.url, reason=error.reason)
            return
        raise StorageError(
            f"files of jobs cannot be stored at {artifacts.url}: {error.reason}. GANSERVE_ARTIFACTS_URL says "
            "where they are kept; credentials, region and endpoint of S3 come from AWS_… variables.",
            error.kind,
        ) from error


def _state_folder(settings: Settings) -> Path:
    return settings.state_folder.expanduser().absolute()
