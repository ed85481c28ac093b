"""Real photos: readers, the audit, the frame, the support set.

To add a reader: write its settings and class in a file like `mvtec.py`, then name its settings here.
"""

from typing import Annotated

from pydantic import Field

from anogen_core.data.dagm import DagmReaderSettings
from anogen_core.data.folder import FolderReaderSettings
from anogen_core.data.mvtec import MvtecReaderSettings
from anogen_core.data.visa import VisaReaderSettings

ReaderSettings = Annotated[
    MvtecReaderSettings | FolderReaderSettings | VisaReaderSettings | DagmReaderSettings, Field(discriminator="kind")
]

__all__ = [
    "DagmReaderSettings",
    "FolderReaderSettings",
    "MvtecReaderSettings",
    "ReaderSettings",
    "VisaReaderSettings",
]
