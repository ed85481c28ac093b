"""The interface of dataset readers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from anogen_core.data.problems import Problem
from anogen_core.records import Sample


@dataclass(frozen=True)
class Unlabelled:
    """What is said of defective photos without a label."""

    lacks: str = "no usable mask"
    fix: str = "Add a mask with the same name (a suffix like _mask is allowed), or remove the photo."
    doubtful: frozenset[Path] = frozenset()
    """Photos whose labels may be in a file that could not be read: that is said of the file alone."""


@dataclass(frozen=True)
class Scan:
    """What a reader found."""

    samples: list[Sample]
    """Every photo that could be read as a file, sorted by id."""
    problems: list[Problem]
    """What is wrong with the directories, names, links and tables. Pixels are not looked at."""
    unlabelled: Unlabelled = field(default_factory=Unlabelled)
    chose_splits: bool = False
    """Whether the reader chose which photos are tested: how they lie on disk does not say it."""


class Reader(ABC):
    """Finds the photos, masks and boxes of a dataset. Photos are hashed and never decoded.

    Example:
        >>> samples = MvtecReaderSettings(root="mvtec_ad").build().read()  # doctest: +SKIP
    """

    @abstractmethod
    def scan(self) -> Scan:
        """Return all samples and everything that is wrong with how the dataset lies on disk.

        Raises:
            InputError: nothing can be read at all (no root, no category in it).
        """

    def read(self) -> list[Sample]:
        """Return all samples, sorted by id.

        Raises:
            InputError: as `scan`.
        """
        return self.scan().samples


class ReaderBuilder(Protocol):
    """The settings of any reader."""

    def build(self) -> Reader:
        """Return the reader that these settings describe."""
        ...
