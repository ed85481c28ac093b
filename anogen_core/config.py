"""The settings of one whole run, read from a YAML file."""

import copy
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, Field, NonNegativeInt, ValidationError, model_validator

from anogen_core.data import ReaderSettings
from anogen_core.data.frame import FrameSettings
from anogen_core.data.support import SupportSettings
from anogen_core.detectors import DetectorSettings
from anogen_core.detectors.fpn import FpnSettings
from anogen_core.diffusion import BaseModelSettings, BundledModelSettings
from anogen_core.diffusion.inversion import InversionSettings
from anogen_core.errors import InputError
from anogen_core.evaluation import EvaluationSettings
from anogen_core.generation import GenerationSettings
from anogen_core.masks import MaskSamplerSettings, TransplantSamplerSettings
from anogen_core.masks.foreground import ForegroundSettings
from anogen_core.planning import PlanSettings
from anogen_core.quality.gates import QualitySettings
from anogen_core.runner import RunnerSettings, ThreadRunnerSettings
from anogen_core.seeding import derive_seed
from anogen_core.settings import Settings, apply_override, read_yaml
from anogen_core.storage.uri import is_address, well_named

DefectName = Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]
EmbeddingKey = Annotated[str, Field(pattern=r"^embedding-[0-9a-f]{16}$")]


class StorageSettings(Settings):
    """How datasets are stored."""

    shard_size: Annotated[int, Field(ge=1, le=1024)] = 64
    """Images per shard: the unit of work, of retry and of stored objects."""


class PhotoSettings(Settings):
    """What datasets and learned defects say of the real photos."""

    licence: str | None = None
    """Licence of the photos, in your words, e.g. CC BY-NC-SA 4.0; a non-commercial one is said loudly."""
    source: str | None = None
    """Where the photos come from: a name, a citation or an address."""


class RunConfig(Settings):
    """One run: which photos, what to learn, what to make, what to train, where to put it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = "run"
    """Name of the run in the flow UI and the report."""
    seed: NonNegativeInt = 0
    """Every random choice of the run follows from it."""
    output: Annotated[str, AfterValidator(well_named)]
    """Where datasets, embeddings, checkpoints and the report go: a directory or s3://bucket/prefix."""
    reader: ReaderSettings
    """Which photos, in which layout."""
    photos: PhotoSettings = PhotoSettings()
    """What datasets and learned defects say of the real photos."""
    frame: FrameSettings = FrameSettings()
    """The common size of the photos of a category."""
    support: SupportSettings = SupportSettings()
    """The few photos of each defect that AnoGen may learn from."""
    base_model: BaseModelSettings = BundledModelSettings()
    """The frozen latent diffusion model."""
    inversion: InversionSettings = InversionSettings()
    """How a defect is learned."""
    embeddings: dict[DefectName, EmbeddingKey] = Field(default_factory=dict)
    """Defects that are not learned here: the key of an imported embedding under `<category>/<defect>`, as
    `anogen embeddings import` prints it."""
    foreground: ForegroundSettings = ForegroundSettings()
    """Where defects may lie."""
    mask_sampler: MaskSamplerSettings = TransplantSamplerSettings()
    """Shape and size of masks: outlines of the support defects, or the paper's boxes (`kind: box`)."""
    generation: GenerationSettings = GenerationSettings()
    """How images are made."""
    quality: QualitySettings = QualitySettings()
    """Which images are kept."""
    storage: StorageSettings = StorageSettings()
    """How datasets are stored."""
    detector: DetectorSettings = FpnSettings()
    """The detector that is trained. The default learns on a CPU in minutes; the paper's are `kind: draem` and
    `destseg`, for a GPU."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """Arms and examples."""
    runner: RunnerSettings = ThreadRunnerSettings()
    """Where tasks run; never changes a result."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the models; `auto` takes a GPU when PyTorch sees one."""

    @model_validator(mode="before")
    @classmethod
    def _name_kinds(cls, values: Any) -> Any:
        """Take sections that name no kind as of the default one, unless a field says that another one is meant."""
        named = dict(values) if isinstance(values, dict) else {}
        for section, field in cls.model_fields.items():
            given, own = named.get(section), getattr(type(field.default), "model_fields", {})
            if isinstance(given, dict) and "kind" in own.keys() - given.keys():
                others = {name for member in get_args(field.annotation) for name in member.model_fields} - own.keys()
                if not given.keys() & others:
                    named[section] = {"kind": own["kind"].default, **given}
        return named or values

    @model_validator(mode="after")
    def _check_offload(self) -> "RunConfig":
        runner = self.runner
        at_once = runner.workers if runner.kind == "threads" else runner.threads_per_worker
        if self.base_model.offload and at_once > 1:
            field = "workers" if runner.kind == "threads" else "threads_per_worker"
            raise ValueError(
                f"base_model.offload: tasks would take each other's networks from the device; expected runner.{field} "
                f"to be 1, found {at_once}. Set it to 1, or offload to false."
            )
        return self

    @property
    def start(self) -> Literal["support", "normal", "noise"]:
        """Return what masked regions start from, where they can."""
        settings = self.generation
        if settings.sampler.strength == 1:
            return "noise"
        if settings.start == "auto":
            return "support" if self.base_model.kind == "bundled" else "noise"
        return settings.start

    @property
    def draw_seed(self) -> int:
        """Return the seed of places, outlines and noise; the run's own for the first draw."""
        draw = self.generation.draw
        return derive_seed(self.seed, "draw", draw) if draw else self.seed

    @property
    def draws(self) -> "list[RunConfig]":
        """Return the settings of every dataset that detectors learn from, the run's own first."""
        number = self.evaluation.seeds if self.evaluation.enabled and self.evaluation.redraw else 1
        first = self.generation
        drawn = [first.model_copy(update={"draw": first.draw + further}) for further in range(number)]
        return [self.model_copy(update={"generation": one}) for one in drawn]

    @property
    def plan(self) -> PlanSettings:
        """Return the part of the settings that decides a plan.

        Raises:
            InputError: the base model's files are not there; its weights are not read.
        """
        trained = self.base_model.canvas()
        canvas = self.generation.crop.canvas or trained.side
        return PlanSettings(
            images_per_defect=self.generation.images_per_defect,
            mask_sampler=self.mask_sampler,
            foreground=self.foreground,
            crop=self.generation.crop,
            canvas=canvas,
            cells=canvas // trained.factor,
            shown=self.start == "support" and self.generation.keep_detail,
            contrast=self.generation.contrast,
            instances=self.generation.instances,
        )


_RETIRED = (("generation", "min_change"), ("generation", "refinement", "peak_share"))
"""Paths of settings that earlier versions stored."""


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the validated settings of a run file, with `a.b=value` overrides applied first.

    Relative paths in the file are taken from the file's directory.

    Raises:
        InputError: the file is missing, is not YAML or does not validate; every problem is listed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Expected a run file; `anogen init` writes one.") from error
    try:
        values = read_yaml(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not valid YAML ({' '.join(str(error).split())}). Correct the file.") from error
    if not isinstance(values, dict):
        raise InputError(
            f"{path}: expected `field: value` lines, found {type(values).__name__}. `anogen init` writes an example."
        )
    for override in overrides:
        apply_override(values, override)
    _resolve_paths(values, path.resolve().parent)
    return parse_config(values, source=str(path))


def parse_config(values: dict[str, Any], *, source: str) -> RunConfig:
    """Return validated settings of plain values.

    Raises:
        InputError: lists every field that does not validate.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        lines = [f"  {_field_name(e['loc'])}: {_explain(e)}" for e in error.errors()]
        raise InputError(f"{source}: {len(lines)} field(s) cannot be used:\n" + "\n".join(lines)) from error


def stored_config(values: dict[str, Any], *, output: str, source: str) -> RunConfig:
    """Return the settings that a run left beside its results, for results that may have been moved since.

    Fields that an earlier version had and this one has not are left out: results stay readable. Its images started from
    the normal photo, its feature pyramids from random weights, and they learned from whole photos; boxes of support
    photos were not outlined.

    Raises:
        InputError: lists every field that does not validate.
    """
    kept = {**copy.deepcopy(values), "output": output}
    for *sections, field in _RETIRED:
        holder: Any = kept
        for section in sections:
            holder = holder.get(section) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(field, None)
    if isinstance(kept.get("generation"), dict):
        kept["generation"] = {"start": "normal", **kept["generation"]}
    if isinstance(kept.get("support"), dict):
        kept["support"] = {"outline_boxes": False, **kept["support"]}
    if isinstance(kept.get("detector"), dict) and kept["detector"].get("kind") == "fpn":
        kept["detector"] = {"pretrained": False, "crop_size": None, "wide_share": 0, **kept["detector"]}
    return parse_config(kept, source=source)


def _field_name(location: tuple[int | str, ...]) -> str:
    return ".".join(_follow(location)[0]) or "(whole file)"


def _explain(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"there is no such field{_suggest(error['loc'])}"
    if error["type"] == "union_tag_not_found":
        members = get_args(_follow(error["loc"])[1])
        kinds = " or ".join(repr(member.model_fields["kind"].default) for member in members)
        return f"expected a `kind`, {kinds} (found {error['input']!r:.60})"
    found = "" if error["type"] == "missing" else f" (found {error['input']!r:.60})"
    return f"{message}{found}"


def _suggest(location: tuple[int | str, ...]) -> str:
    fields = dict(getattr(_follow(location[:-1])[1], "model_fields", {}))
    close = difflib.get_close_matches(str(location[-1]), list(fields), n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    kind = fields.pop("kind", None)
    if kind is None:
        return ". `anogen init` writes all fields with their meaning"
    return f". Delete it: those of `kind: {kind.default}` are {', '.join(fields)}"


def _follow(location: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """Return the fields along a location as the run file has them, and the type of the last one."""
    model: Any = RunConfig
    names = []
    for part in location:
        fields = getattr(model, "model_fields", {})
        members = [m for m in get_args(model) if "kind" in getattr(m, "model_fields", {})]
        chosen = [m for m in members if m.model_fields["kind"].default == part]
        # A part that is the `kind` of a member of a union is not in the run file.
        if not chosen:
            names.append(str(part))
        model = fields[part].annotation if part in fields else next(iter(chosen), None)
    return names, model


def _resolve_paths(values: dict[str, Any], base: Path) -> None:
    """Make local paths absolute, so that they mean the same on every worker."""
    model = values.get("base_model")
    for holder, key in (
        (values, "output"),
        (values.get("reader"), "root"),
        (model, "directory"),
        (model, "cache"),
        (values.get("detector"), "teacher_directory"),
        (values.get("detector"), "backbone_directory"),
        (values.get("foreground"), "template"),
        (values.get("foreground"), "legal"),
        (values.get("foreground"), "illegal"),
    ):
        if isinstance(holder, dict) and isinstance(holder.get(key), str) and not is_address(holder[key]):
            holder[key] = str((base / Path(holder[key]).expanduser()).resolve())
