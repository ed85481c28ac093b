"""Make the images of requests: crop, encode, sample, decode, paste."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from anogen_core import bands
from anogen_core.arrays import Conditioning, Image, ImageBatch, LatentMask, Latents, Mask
from anogen_core.diffusion.crop import CropSettings, cut, paste, to_canvas, to_latent_mask, zoom
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.diffusion.sampling import SamplerSettings, sample_blended
from anogen_core.errors import InputError
from anogen_core.masks.refinement import RefinementSettings
from anogen_core.quality.contrast import ContrastSettings, contrast, gain, restore
from anogen_core.records import Box
from anogen_core.seeding import torch_generator
from anogen_core.settings import Settings
from anogen_core.transplant import Transplant, fade

GENERATION_VERSION = 20
"""Raised by hand when a change here changes the pixels or the mask of a request."""
_SETTLED: Final = 0.25
"""Share of `variation` for a defect that takes the place of what is there, or lies where its pattern goes on: a place
without its part or wire looks alike."""
_NOTHING: Final = b""
"""Stands for the empty prompt among the vectors of concepts."""
_PASTING_THREADS: Final = 4
"""Threads that cut and paste: a GPU makes an image at 256 pixels in less time than pasting it takes."""


class GenerationSettings(Settings):
    """How many images are made and how."""

    images_per_defect: Annotated[PositiveInt, Field(le=1_000_000)] = 100
    """Planned requests for each (category, defect)."""
    draw: NonNegativeInt = 0
    """Another draw of places, outlines and noise: other images of the same defects, learned from the same photos."""
    instances: tuple[PositiveInt, PositiveInt] = (1, 1)
    """Fewest and most defects of its kind that one image shows. Each is generated in a square of its own."""
    batch_size: PositiveInt = 8
    """Requests that go through the model together; another number moves a pixel by one grey level at most."""
    sampler: SamplerSettings = SamplerSettings()
    """How latents are denoised."""
    start: Literal["auto", "support", "normal", "noise"] = "auto"
    """What the masked region starts from: the support defect that the mask is the outline of, shown at the place and
    noised to `sampler.strength` (a mask that is no outline starts from noise); the normal photo, noised likewise; or
    noise alone, as in the paper. A small base model cannot draw the rim and the colours of a real defect from three
    photos; started from one it keeps and varies them. `auto` is `support` for the bundled model, `noise` for others."""
    crop: CropSettings = CropSettings()
    """How large a square around the mask is generated."""
    variation: Annotated[float, Field(ge=0, le=4)] = 0.4
    """How much the model may change a support defect that it starts from, as a share of what stands out of that, in
    fine and coarse detail, brightness and colour (less than half of it) each: on materials that it knows it stays
    below, on others it would write blotches. 0 pastes the support defect. A quarter of it where a defect takes the
    place of what is there, or a pattern goes on around it: a place without its part looks alike each time."""
    feather: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Share of the mask's depth over which the defect fades in from the border; 0 is a hard edge. One that starts from
    a support defect has the rim of that."""
    keep_detail: bool = True
    """Add the photo's own fine detail, which the autoencoder cannot represent, back to the generated square."""
    contrast: ContrastSettings = ContrastSettings()
    """How strongly defects stand out."""
    refinement: RefinementSettings = RefinementSettings()
    """How the pixel mask is found inside the box."""

    @field_validator("instances")
    @classmethod
    def _check_instances(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError(f"expected [fewest, most], found {list(value)}")
        return value


@dataclass(frozen=True)
class Job:
    """One defect to make on a photo, with everything loaded."""

    normal: Image
    mask: Mask
    crop: Box
    vectors: torch.Tensor
    """(V, D) concept embedding."""
    seed: int
    contrast: float | None = None
    """How strongly the defect should stand out; None as the model makes it."""
    start: Image | None = None
    """(H, W, 3): the normal photo as the defect's denoising starts from it, equal outside the mask; noise when None."""
    transplant: Transplant | None = None
    """The support defect that `start` shows; None where it shows none."""
    label: Mask | None = None
    """(H, W), True where the outline of the support defect came to; None where no such outline is known."""

    @property
    def alters_colours(self) -> bool:
        """Return whether it starts from a support defect that changes the colours here otherwise than its photo tells.

        It is across an edge of the part, lies among things there that are not here, or takes the place of what is here;
        or a pattern goes on around it, which shows better than its own photo what it changes.
        """
        start = self.transplant
        return start is not None and (start.unlike or start.replaces or start.fits or start.background is not None)

    @property
    def detail_source(self) -> Image:
        """Return the photo whose fine detail the defect keeps."""
        return self.normal if self.start is None else self.start


@dataclass(frozen=True)
class _View:
    """A job as the model is shown it, on the CPU."""

    job: Job
    photo: ImageBatch
    """(1, 3, side, side)."""
    detail_source: ImageBatch
    """(1, 3, side, side): what the defect's denoising starts from, or the photo."""
    cells: LatentMask
    """(1, 1, h, w)."""


def generate(
    jobs: Sequence[Job],
    model: DiffusionModel,
    settings: GenerationSettings,
    *,
    on_job: Callable[[Job], None] | None = None,
) -> list[Image]:
    """Return one image per job: the normal photo with a generated defect inside the mask.

    The model always sees full batches (a short one is filled up with copies), so that a job's result does not depend
    on what it shares a batch with. Where memory is too short for a batch, the model divides it.
    """
    images: dict[int, Future[Image]] = {}
    texts: dict[bytes, Conditioning] = {}
    size = settings.batch_size
    # While the model makes a batch, the images before it are pasted together and the squares after it are cut.
    with ThreadPoolExecutor(_PASTING_THREADS) as pool:
        # Jobs that go through the model together all start from photos, or all from noise.
        for started in (True, False):
            waiting = [i for i, job in enumerate(jobs) if (job.start is not None) is started]
            views: dict[int, Future[_View]] = {}
            while waiting:
                batch = waiting[:size]
                for i in waiting[: 2 * size]:
                    if i not in views:
                        views[i] = pool.submit(_view, jobs[i], model, settings)
                filled = batch + batch[-1:] * (size - len(batch))
                shown = [views[i].result() for i in filled]
                squares = _generate_batch(shown, model, settings, texts)
                waiting = waiting[size:]
                for i, square in zip(batch, squares, strict=False):
                    del views[i]
                    images[i] = pool.submit(_compose, jobs[i], square, settings)
                    if on_job is not None:
                        on_job(jobs[i])
        return [images[i].result() for i in range(len(jobs))]


def _view(job: Job, model: DiffusionModel, settings: GenerationSettings) -> _View:
    side = settings.crop.canvas or model.resolution
    photo = to_canvas(job.normal, job.crop, side)
    detail_source = photo if job.start is None else to_canvas(job.start, job.crop, side)
    return _View(job, photo, detail_source, to_latent_mask(job.mask, job.crop, side // model.factor))


def _generate_batch(
    views: Sequence[_View], model: DiffusionModel, settings: GenerationSettings, texts: dict[bytes, Conditioning]
) -> Float[np.ndarray, "B s s 3"]:
    """Return the generated square of each job at the size of the canvas, 0-255."""
    jobs = [view.job for view in views]
    photos, detail_source = torch.cat([view.photo for view in views]), torch.cat([view.detail_source for view in views])
    background = model.encode(photos)
    started = jobs[0].start is not None
    start_latents = model.encode(detail_source) if started else background
    mask = torch.cat([view.cells for view in views]).to(background.device)
    latents = sample_blended(
        model,
        background,
        mask,
        noise=_noise(jobs, background),
        conditioning=_conditioning(jobs, model, texts),
        settings=settings.sampler,
        surroundings=model.surroundings(photos, mask, background),
        start=start_latents if started else None,
    )
    decoded = model.decode(latents)
    if settings.keep_detail:
        decoded = decoded + detail_source.to(decoded.device) - model.decode(start_latents)
    squares: np.ndarray = ((decoded + 1) * 127.5).cpu().permute(0, 2, 3, 1).numpy()
    if not np.isfinite(squares).all():
        raise InputError(
            f"base_model: {model.info.name} paints values that are no finite numbers. Expected weights and a noise "
            "schedule that belong together; in half precision try `base_model.precision: fp32`."
        )
    return squares


def _compose(job: Job, square: Float[np.ndarray, "s s 3"], settings: GenerationSettings) -> Image:
    side, canvas_side = job.crop.width, len(square)
    native, before = (cut(photo, job.crop).astype(np.float32) for photo in (job.detail_source, job.normal))
    transplant = job.transplant
    if transplant is not None:
        square = _limit_change(square, job, transplant, settings)
    generated = zoom(square, side)
    if settings.keep_detail and side != canvas_side:
        generated = generated + native - zoom(zoom(native, canvas_side), side)
    if transplant is not None:
        generated = bands.keep(generated, native, transplant.surface)
        if transplant.background is not None:
            generated = generated + cut(transplant.background, job.crop)[..., None] * (native - generated)
        # The support defect that is started from has faded in already; what the model changes of it has not.
        generated = native + cut(fade(job.mask), job.crop)[..., None] * (generated - native)
    if is_grey(job.normal):
        generated = np.repeat(generated.mean(axis=2, keepdims=True), 3, axis=2)
    feather = settings.feather if transplant is None else 0
    image = paste(job.normal, generated, job.crop, job.mask, feather)
    if job.contrast is None:
        return image
    factor = gain(contrast(job.normal, image, job.mask), job.contrast, settings.contrast)
    return paste(job.normal, before + factor * (generated - before), job.crop, job.mask, feather)


def _limit_change(
    square: Float[np.ndarray, "s s 3"], job: Job, transplant: Transplant, settings: GenerationSettings
) -> Float[np.ndarray, "s s 3"]:
    """Return a generated square that differs from the support defect it starts from by `variation` at most."""
    # What takes the place of a part or a wire stands out of what is around it, and not of that.
    settled = transplant.replaces or transplant.fits
    flawless = restore(job.detail_source, job.mask) if settled else job.normal
    start, without = (zoom(cut(of, job.crop).astype(np.float32), len(square)) for of in (job.detail_source, flawless))
    covered = zoom(cut(job.mask, job.crop).astype(np.float32), len(square))
    # A thin line of a large photo covers no pixel of the canvas by half.
    inside = covered > (0.5 if covered.max() > 0.5 else covered.max() / 2)
    return bands.limit(square, start, without, inside, settings.variation * (_SETTLED if settled else 1))


def merge(jobs: Sequence[Job], images: Sequence[Image]) -> Image:
    """Return the one image that shows the defects of several jobs on the same photo; their masks do not touch."""
    merged = jobs[0].normal.copy()
    for job, image in zip(jobs, images, strict=True):
        merged[job.mask] = image[job.mask]
    return merged


def is_grey(photo: Image) -> bool:
    """Return whether a photo has no colour at all, as those of grey cameras."""
    return bool((photo == photo[..., :1]).all())


def _noise(jobs: Sequence[Job], like: Latents) -> Latents:
    shape = like.shape[1:]
    drawn = [torch.randn(shape, generator=torch_generator(job.seed)) for job in jobs]
    return torch.stack(drawn).to(like.device, like.dtype)


def _conditioning(
    jobs: Sequence[Job], model: DiffusionModel, texts: dict[bytes, Conditioning]
) -> tuple[Conditioning, Conditioning]:
    """Return the text encodings without and with each job's concept.

    Each is encoded once, and alone, and kept in `texts` by the bytes of the vectors.
    """
    keys = [job.vectors.cpu().numpy().tobytes() for job in jobs]
    with torch.no_grad():
        if _NOTHING not in texts:
            texts[_NOTHING] = model.condition([""])
        for key, job in zip(keys, jobs, strict=True):
            if key not in texts:
                texts[key] = model.condition(["{}"], job.vectors[None])
    return texts[_NOTHING].expand(len(jobs), -1, -1), torch.cat([texts[key] for key in keys])
