"""What the data holds: the photos of every category, their frame and the support sets."""

import functools
import json

from anogen_core.config import RunConfig
from anogen_core.data.frame import frame_size_of
from anogen_core.data.support import choose_support, held_out
from anogen_core.errors import InputError
from anogen_core.records import GOOD, Record, Sample, SupportSet
from anogen_core.storage.artifacts import ArtifactStore, artifact_key


class Category(Record):
    """The photos of one category."""

    name: str
    frame: tuple[int, int]
    """(height, width) of every photo after framing."""
    samples: tuple[Sample, ...]
    supports: tuple[SupportSet, ...]

    @property
    def normals(self) -> list[Sample]:
        """Return the normal photos that defects are generated on and detectors learn from."""
        return [s for s in self.samples if s.split == "train" and s.defect == GOOD]

    @property
    def evaluated(self) -> tuple[list[Sample], list[Sample]]:
        """Return the held-out test photos, and those left out because of the support sets."""
        return held_out(list(self.samples), list(self.supports))


def read_catalogue(config: RunConfig) -> tuple[Category, ...]:
    """Return all categories of a run, sorted by name; read once per process.

    Raises:
        InputError: the data cannot be used; `anogen check` lists every problem.
    """
    return _read(config.model_dump_json(include={"seed", "reader", "frame", "support"}))


def read_category(config: RunConfig, name: str) -> Category:
    """Return one category of a run."""
    return next(category for category in read_catalogue(config) if category.name == name)


def choose_supports(config: RunConfig, name: str) -> list[SupportSet]:
    """Return the support sets of one category and keep each as an artefact: the photos' ids and content hashes."""
    artifacts = ArtifactStore(f"{config.output}/artifacts")
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
    # Where results go has no influence on what the data holds.
    config = RunConfig.model_validate({**json.loads(settings), "output": "-"})
    samples = config.reader.build().read()
    supports = choose_support(samples, config.support, seed=config.seed)
    categories = []
    for name in sorted({s.category for s in samples}):
        own = tuple(s for s in samples if s.category == name)
        chosen = tuple(s for s in supports if s.category == name)
        if not chosen:
            continue
        frame = frame_size_of(list(own), config.frame)
        categories.append(Category(name=name, frame=frame, samples=own, supports=chosen))
    if not categories:
        raise InputError(
            f"reader.root: {config.reader.root} has no category with a defect to learn. "
            "`anogen check` lists what was found."
        )
    return tuple(categories)
