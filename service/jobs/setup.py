"""The database and the files of jobs, as the settings name them."""

from __future__ import annotations

from pathlib import Path

from service.jobs.database import Database
from service.jobs.places import Places
from service.jobs.storage import open_area
from service.settings import Settings


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
    return Places(
        open_area(url, settings.storage_timeout_seconds),
        settings.max_upload_bytes,
        tuple(settings.job_inputs),
        tuple(settings.job_outputs),
        settings.storage_timeout_seconds,
    )


def _state_folder(settings: Settings) -> Path:
    return settings.state_folder.expanduser().absolute()
