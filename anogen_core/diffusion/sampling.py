"""Blended DDIM sampling with classifier-free guidance (AnoGen stage 2; Avrahami et al., 2022; Song et al., 2021).

    z_T ~ N(0, I);  for t = T..1:   z_t <- m * z_t + (1 - m) * q(E(N), t);   z_{t-1} <- step(z_t, eps_hat)
    eps_hat = eps(z_t, t, "") + s * (eps(z_t, t, c(v)) - eps(z_t, t, ""))

A network that predicts the velocity or the sample is guided in what it predicts, which is the same: at a given z_t each
is an affine function of the others. The scheduler takes it as it is, so that a schedule may end in noise alone.

The background q(E(N), t) uses the request's own noise at every t, so its path is the one the sampler would take to
E(N).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt

from anogen_core.arrays import Conditioning, LatentMask, Latents, Surroundings
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.settings import Settings


class SamplerSettings(Settings):
    """How latents are denoised."""

    kind: Literal["ddim", "dpm_solver", "unipc"] = "ddim"
    """`ddim` is the paper's; the multistep solvers reach similar quality in fewer steps."""
    num_inference_steps: PositiveInt | None = None
    """Denoising steps of the whole noise schedule; default: 50 from noise, as in the paper, and 20 where the masked
    region starts from a photo: with 50 the bundled model's images hardly differ (docs/base-models.md)."""
    guidance_scale: NonNegativeFloat | None = None
    """Weight s of classifier-free guidance; 1 is none and takes half the time. Default: 1 with the bundled model and
    others that edit photos, which listen to an embedding without it, 3 with text-to-image models, of which large ones
    take 7 to 10."""
    strength: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the noise schedule that is run when the masked region starts from a photo (SDEdit, Meng et al., 2022;
    see `generation.start`): near 0 the photo stays as it is, 1 starts from noise alone."""

    def schedule(self, *, from_photo: bool) -> tuple[int, float]:
        """Return the denoising steps of the whole noise schedule, and the share of them that is run."""
        default, share = (20, self.strength) if from_photo else (50, 1.0)
        return self.num_inference_steps or default, share


def sample_blended(
    model: DiffusionModel,
    background: Latents,
    mask: LatentMask,
    *,
    noise: Latents,
    conditioning: tuple[Conditioning, Conditioning],
    settings: SamplerSettings,
    surroundings: Surroundings | None = None,
    start: Latents | None = None,
) -> Latents:
    """Return latents that are generated inside the mask and equal to `background` outside.

    Args:
        model: The frozen base model.
        background: (B, C, h, w) latents of the normal crops.
        mask: (B, 1, h, w), 1 where the defect goes.
        noise: (B, C, h, w) standard normal noise, one draw per request.
        conditioning: Text encoding without and with the concept, each (B, T, D).
        settings: Sampler, steps, guidance and strength.
        surroundings: What `model.surroundings` returned for the normal crops and the mask.
        start: (B, C, h, w) latents that the masked region starts from, noised to `strength`; noise alone when None.
    """
    scheduler, timesteps = _scheduler(model, settings, from_photo=start is not None)
    scale = model.guidance if settings.guidance_scale is None else settings.guidance_scale
    latents = noise if start is None else scheduler.add_noise(start, noise, timesteps[:1])
    text = torch.cat(conditioning)
    around = None if surroundings is None else torch.cat([surroundings, surroundings])
    with torch.no_grad():
        for timestep in timesteps:
            noised = scheduler.add_noise(background, noise, timestep.reshape(1))
            latents = mask * latents + (1 - mask) * noised
            predicted = _guided(model, latents, timestep, text, around, scale=scale)
            latents = scheduler.step(predicted, timestep, latents).prev_sample
    return mask * latents + (1 - mask) * background


def _guided(
    model: DiffusionModel,
    latents: Latents,
    timestep: torch.Tensor,
    text: Conditioning,
    around: Surroundings | None,
    *,
    scale: float,
) -> Latents:
    if scale == 1:
        # The unconditional prediction has no weight.
        count = len(latents)
        steps = timestep.reshape(1).expand(count).to(latents.device)
        around = None if around is None else around[count:]
        return model.predict(latents, steps, text[count:], around, static=True)
    doubled = torch.cat([latents, latents])
    steps = timestep.reshape(1).expand(len(doubled)).to(latents.device)
    without, with_concept = model.predict(doubled, steps, text, around, static=True).chunk(2)
    return without + scale * (with_concept - without)


def _scheduler(model: DiffusionModel, settings: SamplerSettings, *, from_photo: bool) -> tuple[Any, torch.Tensor]:
    """Return the scheduler and the timesteps to run, the last of its schedule."""
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler  # noqa: PLC0415 - slow

    classes = {"ddim": DDIMScheduler, "dpm_solver": DPMSolverMultistepScheduler, "unipc": UniPCMultistepScheduler}
    # Schedulers that never clip do not store that they do not, and DDIM's default is to clip latents at 1.
    config = {"clip_sample": False, **model.scheduler_config}
    scheduler = classes[settings.kind].from_config(config, **_solver(settings.kind, config))
    wanted, share = settings.schedule(from_photo=from_photo)
    scheduler.set_timesteps(wanted)
    steps = len(scheduler.timesteps)
    first = steps - max(1, round(share * steps))
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    return scheduler, scheduler.timesteps[first:]


def _solver(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds whatever the pipeline's own scheduler says: that one gives the noise schedule, not the solver.

    A solver that draws noise is replaced by its deterministic twin, an algorithm that DPM-Solver does not have by
    DPM-Solver++, and the end of the schedule is one that the solver reaches in finite numbers.
    """
    final = config.get("final_sigmas_type", "zero")
    if kind == "dpm_solver":
        algorithm = str(config.get("algorithm_type")).removeprefix("sde-")
        if algorithm == "dpmsolver":
            final = "sigma_min"
        else:
            algorithm = "dpmsolver++"
        return {"algorithm_type": algorithm, "final_sigmas_type": final, "variance_type": None}
    if kind == "unipc":
        if not config.get("predict_x0", True):
            final = "sigma_min"
        low = final == "zero" or config.get("lower_order_final", True)
        return {"final_sigmas_type": final, "lower_order_final": low}
    return {}
