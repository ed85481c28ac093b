"""What the data holds: the photos of every category, their frame and the support sets."""

import contextlib
import functools
import json
from collections.abc import Sequence
from pathlib import Path

from anogen_core.arrays import Image
from anogen_core.config import RunConfig
from anogen_core.data.files import read_header
from anogen_core.data.frame import FrameSettings, frame_size_of, load_image
from anogen_core.data.problems import UnusableFileError
from anogen_core.data.support import choose_support, held_out
from anogen_core.errors import InputError
from anogen_core.records import GOOD, Record, Sample, SupportSet
from anogen_core.resizing import mixed_mark
from anogen_core.stages.embedding_store import named_embedding
from anogen_core.storage.artifacts import ArtifactStore, artifact_key


class Category(Record):
    """The photos of one category."""

    name: str
    frame: tuple[int, int]
    """(height, width) of every photo after framing."""
    frame_settings: FrameSettings
    samples: tuple[Sample, ...]
    supports: tuple[SupportSet, ...]

    def load(self, sample: Sample) -> Image:
        """Return one of its photos in the frame, (H, W, 3).

        Raises:
            UnusableFileError: it cannot be read, or is another than when the data was read.
        """
        return load_image(sample, self.frame, white_level=self.frame_settings.white_level)

    @property
    def normals(self) -> list[Sample]:
        """Return the normal photos that defects are generated on and detectors learn from."""
        return [s for s in self.samples if s.split == "train" and s.defect == GOOD]

    @property
    def evaluated(self) -> tuple[list[Sample], list[Sample]]:
        """Return the held-out test photos, and those left out because of the support sets.

        Raises:
            UnusableFileError: a photo cannot be read, or is another than when the data was read.
        """
        return held_out(self.samples, self.supports, self.frame_settings)

    @functools.cached_property
    def framed_mixed(self) -> list[int]:
        """Return `mixed_mark` of the photos as stored, for content keys; headers are read where `frame.size` is set.

        Photos that cannot be read count for nothing here: whoever needs them tells why.
        """
        if self.frame_settings.size is None:
            return []
        sizes = set()
        for sample in self.samples:
            with contextlib.suppress(UnusableFileError):
                sizes.add(read_header(Path(sample.image_uri), max_pixels=self.frame_settings.max_pixels).size)
        return mixed_mark(sizes, self.frame)


def read_catalogue(config: RunConfig) -> tuple[Category, ...]:
    """Return all categories of a run, sorted by name; read once per process.

    Raises:
        InputError: the data cannot be used; `anogen check` lists every problem.
    """
    fields = {"seed", "reader", "frame", "support"}
    # Only for imported embeddings does it matter where results go and which base model is used.
    return _read(
        config.model_dump_json(
            include=fields | ({"embeddings", "output", "base_model"} if config.embeddings else set())
        )
    )


def read_category(config: RunConfig, name: str) -> Category:
    """Return one category of a run."""
    return next(category for category in read_catalogue(config) if category.name == name)


def choose_supports(config: RunConfig, name: str) -> list[SupportSet]:
    """Return the support sets of one category and keep each as an artefact: the photos' ids and content hashes."""
    artifacts = ArtifactStore.of_run(config.output)
    supports = list(read_category(config, name).supports)
    for support in supports:
        metadata = {
            "kind": "support",
            "category": name,
            "defect": support.defect,
            "photos": [{"sample_id": s.sample_id, "sha256": s.sha256, "group": s.group} for s in support.samples],
        }
        key = artifact_key("support", metadata)
        if artifacts.get(key) is None:
            artifacts.put(key, {}, metadata)
    return supports


@functools.lru_cache(maxsize=4)
def _read(settings: str) -> tuple[Category, ...]:
    config = RunConfig.model_validate({"output": "-", **json.loads(settings)})
    samples = config.reader.build().read()
    supports = _with_imported(config, samples, choose_support(samples, config.support, seed=config.seed))
    categories = []
    for name in sorted({s.category for s in samples}):
        own = tuple(s for s in samples if s.category == name)
        chosen = tuple(s for s in supports if s.category == name)
        if not chosen:
            continue
        frame = frame_size_of(list(own), config.frame)
        categories.append(Category(name=name, frame=frame, frame_settings=config.frame, samples=own, supports=chosen))
    if not categories:
        raise InputError(
            f"reader.root: {config.reader.root} has no category with a defect to learn. "
            "`anogen check` lists what was found."
        )
    return tuple(categories)


def _with_imported(config: RunConfig, samples: Sequence[Sample], supports: Sequence[SupportSet]) -> list[SupportSet]:
    """Return the support sets with those of imported embeddings in place.

    The support set of an imported embedding is the photos of this data that it was learned from, because they must not
    be evaluated; else the photos chosen for the defect, whose masks give sizes; none when there are no photos of it.

    Raises:
        InputError: an embedding is not there or does not fit, or its category has no photos.
    """
    found = {(s.category, s.defect): s for s in supports}
    categories = sorted({s.category for s in samples})
    for name in config.embeddings:
        category, defect = name.split("/")
        if category not in categories:
            raise InputError(f"embeddings[{name}]: no photos of {category!r}; there are: {', '.join(categories)}.")
        about = named_embedding(config, category, defect)
        learned = {photo.sha256 for photo in about.support} if about else set()
        learned_from = (s for s in samples if s.category == category and s.sha256 in learned)
        own = tuple(s.showing(defect) or s for s in learned_from)
        chosen = found.get((category, defect))
        photos = own or (chosen.samples if chosen else ())
        found[category, defect] = SupportSet(category=category, defect=defect, samples=photos)
    return [found[key] for key in sorted(found)]
