"""The support set: the few photos of each defect that AnoGen may learn from."""

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictBool

from anogen_core.data.copies import copies_of
from anogen_core.data.frame import FrameSettings
from anogen_core.data.problems import Problem, error
from anogen_core.errors import InputError
from anogen_core.records import GOOD, Sample, SupportSet
from anogen_core.seeding import derive_seed, numpy_generator
from anogen_core.settings import Settings

_Key = tuple[str, str]


class SupportSettings(Settings):
    """How many photos of each defect to learn from, and which."""

    shots: Annotated[int, Field(ge=1)] = 3
    """Photos per defect, chosen at random by the run's seed; from different leakage groups as far as there are any, and
    such as show no other defect as far as there are any."""
    images: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] | None = None
    """Photos named by hand instead, under `<category>/<defect>` or `<defect>`: file names, ends of
    their paths, or sample ids. All that are named are used, whatever `shots` says; other defects are chosen by seed."""
    defects: tuple[str, ...] | None = None
    """Defects to learn, as `<defect>` or `<category>/<defect>`; all when left out."""
    outline_boxes: StrictBool = True
    """Find the outline of a defect that is labelled by a box inside that box; otherwise the whole box counts as defect,
    with the surface around the defect in it."""


def choose_support(samples: Sequence[Sample], settings: SupportSettings, *, seed: int) -> list[SupportSet]:
    """Return the support set of each defect of each category, sorted by category and defect, each sorted by id.

    The choice for one defect depends on the seed, its name and its photos alone.

    Raises:
        InputError: a name is unknown, or a defect has too few photos with a mask; all faults are listed.
    """
    candidates = _candidates(samples)
    problems = support_problems(samples, settings)
    if problems:
        raise InputError("\n".join(map(str, problems)))
    supports = []
    for key in _selected(candidates, settings):
        named, _ = _named(key, candidates[key], settings)
        chosen = named or _draw(key, _labelled(candidates[key]), shots=settings.shots, seed=seed)
        ordered = tuple(sorted(chosen, key=lambda sample: sample.sample_id))
        supports.append(SupportSet(category=key[0], defect=key[1], samples=ordered))
    return supports


def support_problems(samples: Sequence[Sample], settings: SupportSettings) -> list[Problem]:
    """Return an error for each unknown name and each defect with too few photos that have a mask or boxes."""
    candidates = _candidates(samples)
    problems = [
        *_unknown_keys("support.defects", settings.defects or (), candidates),
        *_unknown_keys("support.images", settings.images or (), candidates),
    ]
    for key in _selected(candidates, settings):
        named, faults = _named(key, candidates[key], settings)
        problems += faults
        found = len(_labelled(candidates[key]))
        if not named and not faults and found < settings.shots:
            what = f"has {found} of {len(candidates[key])} photos with mask or boxes; {settings.shots} are needed."
            fix = (
                "Add photos with masks or boxes, lower `support.shots`, name those there are "
                f"(`support.images: {{{key[1]}: [FILE, ...]}}`), or name the defects to learn in `support.defects`."
            )
            problems.append(error("/".join(key), what, fix=fix))
    return problems


def held_out(
    samples: Sequence[Sample], supports: Sequence[SupportSet], settings: FrameSettings
) -> tuple[list[Sample], list[Sample]]:
    """Return the test samples to evaluate on, and those left out because they are or show what was learned from.

    Left out is every copy of a support photo, whatever its file, every photo of the leakage group of a support photo
    or of a copy, and so on: their copies, and the groups of these.

    Raises:
        UnusableFileError: a photo cannot be read, or is another than when the data was read.
    """
    tests = [sample for sample in samples if sample.split == "test"]
    found = [sample for support in supports for sample in support.samples]
    left_out: set[str] = set()
    while True:
        copies = {sample.sample_id for sample in copies_of(found, among=tests, settings=settings)}
        groups = {(sample.category, sample.group) for sample in found if sample.group is not None}
        more = [s for s in tests if s.sample_id in copies or (s.category, s.group) in groups]
        more = [sample for sample in more if sample.sample_id not in left_out]
        if not more:
            break
        found += more
        left_out.update(sample.sample_id for sample in more)
    kept = [sample for sample in tests if sample.sample_id not in left_out]
    return kept, [sample for sample in tests if sample.sample_id in left_out]


def _candidates(samples: Sequence[Sample]) -> dict[_Key, list[Sample]]:
    """Return the defective test photos of each (category, defect), all sorted.

    A photo of several defects that its label tells apart is one of each, with the label of that one.
    """
    found: dict[_Key, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.sample_id):
        if sample.defect != GOOD and sample.split == "test":
            for defect in sample.defects:
                found[sample.category, defect].append(sample.showing(defect) or sample)
    return dict(sorted(found.items()))


def _labelled(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.is_labelled]


def _selected(candidates: Mapping[_Key, object], settings: SupportSettings) -> list[_Key]:
    wanted = settings.defects
    return [key for key in candidates if wanted is None or key[1] in wanted or "/".join(key) in wanted]


def _draw(key: _Key, samples: Sequence[Sample], *, shots: int, seed: int) -> list[Sample]:
    """Return `shots` samples, one of each physical part and content first, of these such as show no other defect."""
    drawn = numpy_generator(derive_seed(seed, "support", *key)).permutation(len(samples))
    order = sorted(map(int, drawn), key=lambda i: bool(samples[i].parts))
    first: list[Sample] = []
    again: list[Sample] = []
    seen: set[str] = set()
    for sample in (samples[i] for i in order):
        part = sample.group if sample.group is not None else sample.sha256
        (again if part in seen else first).append(sample)
        seen.add(part)
    return (first + again)[:shots]


def _named(key: _Key, samples: Sequence[Sample], settings: SupportSettings) -> tuple[list[Sample], list[Problem]]:
    """Return the samples that the settings name for one defect, and an error for each name that fits none."""
    images = settings.images or {}
    field = "/".join(key) if "/".join(key) in images else key[1]
    place = f"support.images[{field}]"
    found: dict[str, Sample] = {}
    problems = []
    for name in images.get(field, ()):
        matches = [sample for sample in samples if _fits(name, sample)]
        if len(matches) == 1 and _labelled(matches):
            found[matches[0].sample_id] = matches[0]
            continue
        if matches:
            what = f"{name!r} has no usable mask." if len(matches) == 1 else f"{name!r} fits {len(matches)} photos."
            problems.append(error(place, what, fix="Add its mask, or give the sample id."))
        else:
            names = [Path(sample.image_uri).name for sample in samples]
            what = f"no photo of {'/'.join(key)} is named {name!r}."
            problems.append(error(place, what, fix=_near(Path(name).name, names)))
    return list(found.values()), problems


def _fits(name: str, sample: Sample) -> bool:
    wanted = name.replace("\\", "/").removeprefix("./")
    path = Path(sample.image_uri)
    if wanted in (sample.sample_id, path.name, path.stem):
        return True
    return bool(wanted) and f"/{path.as_posix()}".endswith(f"/{wanted.lstrip('/')}")


def _unknown_keys(
    place: str, names: Sequence[str] | Mapping[str, object], known: Mapping[_Key, object]
) -> list[Problem]:
    understood = {defect for _, defect in known} | {"/".join(key) for key in known}
    return [
        error(f"{place}[{name}]", "names no defect that has photos.", fix=_near(name, sorted(understood)))
        for name in names
        if name not in understood
    ]


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3) or list(names[:5])
    return f"Did you mean one of: {', '.join(near)}?" if near else "There are no defective photos at all."
