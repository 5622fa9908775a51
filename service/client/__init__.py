"""The Python client of ganserve's HTTP interface; needs only the base dependencies.

from service.client import Client

with Client("http://localhost:8080") as client:
    for image in client.generate("terrain", seeds=[7, 8], truncation=0.7):
        image.save(f"{image.seed}.png")
"""

from service.client.asynchronous import AsyncClient
from service.client.call import ImageFormat, ImageSource, Noise, Source
from service.client.endpoint import DEFAULT_URL
from service.client.errors import ClientError, ProblemError, UnexpectedAnswerError, UnreachableError
from service.client.job_results import ItemOutput, Job, JobCounts, JobEvent, JobItem, SavedFile
from service.client.multipart import FileChangedError, NamedFile
from service.client.results import (
    File,
    Frame,
    GeneratedImage,
    Latent,
    MixedImage,
    ModelCard,
    Styles,
    Verification,
)
from service.client.synchronous import Client

__all__ = [
    "DEFAULT_URL",
    "AsyncClient",
    "Client",
    "ClientError",
    "File",
    "FileChangedError",
    "Frame",
    "GeneratedImage",
    "ImageFormat",
    "ImageSource",
    "ItemOutput",
    "Job",
    "JobCounts",
    "JobEvent",
    "JobItem",
    "Latent",
    "MixedImage",
    "ModelCard",
    "NamedFile",
    "Noise",
    "ProblemError",
    "SavedFile",
    "Source",
    "Styles",
    "UnexpectedAnswerError",
    "UnreachableError",
    "Verification",
]
