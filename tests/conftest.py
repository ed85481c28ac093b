"""What many tests share: a tiny random pipeline that the real loading code loads, and a tiny dataset of photos."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings

from anogen_core.diffusion import BundledModelSettings, StableDiffusionSettings
from anogen_core.diffusion.model import DiffusionModel

# A test run says the same each time, on a busy machine too. HYPOTHESIS_PROFILE=search looks for new counterexamples.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import AutoencoderKL, DDIMScheduler, DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    bundled = BundledModelSettings().build(torch.device("cpu"))
    tokenizer = bundled._tokenizer
    torch.manual_seed(0)
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=32,
    )
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=24,
        attention_head_dim=4,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    pipeline: DiffusionPipeline = StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text,
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    directory = tmp_path_factory.mktemp("tiny")
    pipeline.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_model(tiny_directory: Path) -> DiffusionModel:
    return StableDiffusionSettings(directory=str(tiny_directory)).build(torch.device("cpu"))


@pytest.fixture(scope="session")
def tiny_inpainting_directory(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline with a UNet that also sees the mask and the masked photo: 4 + 1 + 4 channels."""
    from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel

    torch.manual_seed(1)
    config = UNet2DConditionModel.load_config(tiny_directory / "unet")
    unet = UNet2DConditionModel.from_config({**config, "in_channels": 9})
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(
        str(tiny_directory), unet=unet, safety_checker=None, local_files_only=True
    )
    directory = tmp_path_factory.mktemp("tiny-inpainting")
    pipeline.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_ldm(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a tiny random pipeline of the classes of CompVis/ldm-text2im-large-256."""
    from diffusers import AutoencoderKL, DDIMScheduler, LDMTextToImagePipeline, UNet2DConditionModel, VQModel
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
    from transformers import BertTokenizer

    letters = [prefix + chr(code) for prefix in ("", "##") for code in range(ord("a"), ord("z") + 1)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, "photo", "of", "the", "defect", "scratch"]
    shape = {
        "block_out_channels": (8, 8),
        "norm_num_groups": 4,
        "latent_channels": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    }

    def make(*, vector_quantized: bool = False, width: int = 24) -> Path:
        directory = tmp_path_factory.mktemp("ldm")
        (directory / "vocab.txt").write_text("\n".join(words))
        unet = UNet2DConditionModel.load_config(tiny_directory / "unet")
        bert = LDMBertConfig(
            vocab_size=len(words),
            encoder_layers=2,
            encoder_ffn_dim=32,
            encoder_attention_heads=2,
            head_dim=8,
            d_model=width,
        )
        torch.manual_seed(2)
        pipeline = LDMTextToImagePipeline(
            vqvae=VQModel(**shape, num_vq_embeddings=16) if vector_quantized else AutoencoderKL(**shape),
            bert=LDMBertModel(bert),
            tokenizer=BertTokenizer(str(directory / "vocab.txt")),
            unet=UNet2DConditionModel.from_config({**unet, "cross_attention_dim": width}),
            scheduler=DDIMScheduler.from_pretrained(tiny_directory / "scheduler"),
        )
        pipeline.save_pretrained(directory / "pipeline")
        return directory / "pipeline"

    return make


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories in MVTec AD layout, 64 px: 6 normal photos, two defects with 5 photos each, 3 good test photos."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.Generator(np.random.PCG64(0))

    def write(path: Path, image: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)

    for category in ("bolt", "felt"):
        base = rng.integers(80, 170)
        for split, count in (("train", 6), ("test", 3)):
            for i in range(count):
                write(
                    root / category / split / "good" / f"{i:03}.png",
                    rng.normal(base, 6, (64, 64, 3)).clip(0, 255).astype(np.uint8),
                )
        for defect in ("cut", "spot"):
            for i in range(5):
                image = rng.normal(base, 6, (64, 64, 3)).clip(0, 255).astype(np.uint8)
                x, y, w, h = rng.integers(8, 40), rng.integers(8, 40), *((16, 5) if defect == "cut" else (9, 9))
                mask = np.zeros((64, 64), np.uint8)
                mask[y : y + h, x : x + w] = 255
                image[mask > 0] = 20 if defect == "cut" else 240
                write(root / category / "test" / defect / f"{i:03}.png", image)
                write(root / category / "ground_truth" / defect / f"{i:03}_mask.png", mask)
    return root


@pytest.fixture(scope="session")
def small_run(photos: Path, tiny_directory: Path) -> dict[str, object]:
    """Settings of a run on the tiny photos and the tiny model that ends in seconds; `output` is missing."""
    return {
        "name": "small",
        "reader": {"kind": "mvtec", "root": str(photos)},
        "base_model": {"kind": "stable_diffusion", "directory": str(tiny_directory), "licence": "none needed"},
        "inversion": {"steps": 6, "validate_every": 3, "validation_points": 2},
        "generation": {
            "images_per_defect": 5,
            "batch_size": 2,
            "start": "support",
            "sampler": {"num_inference_steps": 3},
        },
        "quality": {"gates": False, "embedding": False},
        "storage": {"shard_size": 4},
        "detector": {
            "kind": "draem",
            "reconstructive_width": 4,
            "discriminative_width": 4,
            "image_size": 64,
            "steps": 4,
            "batch_size": 2,
        },
    }


@pytest.fixture
def anogen() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command in a process of its own and return what it said."""

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from flows.cli import main; main()", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )

    return call


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """Return an empty bucket on an S3 server; the AWS environment points to it."""
    import botocore.session
    from moto.server import ThreadedMotoServer

    from anogen_core.storage import s3

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "open-name")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-word")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3._client.cache_clear()
        botocore.session.get_session().create_client("s3").create_bucket(Bucket="anogen-tests")
        yield "s3://anogen-tests"
    s3._client.cache_clear()
    server.stop()
