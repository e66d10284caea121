"""Folders of diffusers: the same bits through us, and refusals that name key, shape and mend."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dpfedsyn import brought
from dpfedsyn.diffusion import signal_shares
from dpfedsyn.errors import ModelError
from dpfedsyn.images import ImageEncoder, ImageSchema
from tests.dpfedsyn import brought as made

diffusers = pytest.importorskip(
    "diffusers", reason="diffusers is not installed: pip install 'dpfedsyn[diffusers]'"
)
CPU = torch.device("cpu")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
NO_LABELS = np.zeros(6, dtype=np.int64)


def samples(n: int = 6) -> np.ndarray:
    """As queries bring them: float32 numbers."""
    return np.random.default_rng(3).normal(size=(n, 64)).astype(np.float32)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("t", [0, 17, 500, 999])
def test_a_folder_answers_bit_for_bit_as_diffusers(prediction: str, t: int, tmp_path: Path) -> None:
    """The predicted noise, without our noise, is that of the module and of diffusers' own DDIM."""
    module = made.unet(tmp_path, schedule={"prediction_type": prediction})
    model = brought.read(tmp_path, made.UNLABELLED, CPU)
    x = samples()
    ours = model.predict_noise(x.astype(np.float64), signal_shares()[t], NO_LABELS)
    pixels = torch.from_numpy(x).reshape(6, 1, 8, 8)
    scheduler = diffusers.DDIMScheduler(prediction_type=prediction, clip_sample=False)
    with torch.inference_mode():
        output = module(pixels, t).sample
    if prediction == "epsilon":
        theirs = output
    else:
        share = scheduler.alphas_cumprod[t]
        theirs = {
            "v_prediction": share**0.5 * output + (1 - share) ** 0.5 * pixels,
            "sample": (pixels - share**0.5 * output) / (1 - share) ** 0.5,
        }[prediction]
    assert np.array_equal(ours, theirs.double().numpy().reshape(6, 64))
    assert model.parameters == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_one_ddim_step_of_diffusers_leads_where_our_noise_leads(
    prediction: str, tmp_path: Path
) -> None:
    """x' = sqrt(a') x_0 + sqrt(1 - a') e from our e is diffusers' step, for all predictions."""
    module = made.unet(tmp_path, schedule={"prediction_type": prediction})
    scheduler = diffusers.DDIMScheduler(prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(10)
    model, x, t = brought.read(tmp_path, made.UNLABELLED, CPU), samples(), 500
    noise = model.predict_noise(x.astype(np.float64), signal_shares()[t], NO_LABELS)
    a, after = (float(scheduler.alphas_cumprod[step]) for step in (t, t - 100))
    clean = (x - np.sqrt(1 - a) * noise) / np.sqrt(a)
    pixels = torch.from_numpy(x).reshape(6, 1, 8, 8)
    with torch.inference_mode():
        theirs = scheduler.step(module(pixels, t).sample, t, pixels).prev_sample
    ours = np.sqrt(after) * clean + np.sqrt(1 - after) * noise
    assert np.allclose(ours, theirs.numpy().reshape(6, 64), atol=1e-5)


def test_labels_reach_a_model_that_knows_them(tmp_path: Path) -> None:
    """num_class_embeds: the label of every row is its class."""
    module = made.unet(tmp_path, num_class_embeds=2)
    model = brought.read(tmp_path, made.LABELLED, CPU)
    x, labels = samples(), np.array([0, 1, 1, 0, 0, 1])
    ours = model.predict_noise(x.astype(np.float64), signal_shares()[300], labels)
    with torch.inference_mode():
        pixels = torch.from_numpy(x).reshape(6, 1, 8, 8)
        theirs = module(pixels, 300, class_labels=torch.from_numpy(labels)).sample
    assert np.array_equal(ours, theirs.double().numpy().reshape(6, 64))
    other = model.predict_noise(x.astype(np.float64), signal_shares()[300], 1 - labels)
    assert not np.allclose(ours, other)


def test_all_frequencies_of_the_cosine_transform_lose_nothing(tmp_path: Path) -> None:
    """With another basis, centre and scale the same pictures get the same noise, transformed."""
    module = made.unet(tmp_path)
    schema = ImageSchema("dct", ("0", "1"), 8, 8, 64, grey=0.5, largest=16, scale=2.0)
    encoder = ImageEncoder(schema, conditional=False)
    model, basis = brought.read(tmp_path, encoder, CPU), encoder.geometry.basis
    x = samples().astype(np.float64)
    noise = model.predict_noise(x @ basis.T, signal_shares()[400], NO_LABELS)
    with torch.inference_mode():
        theirs = module(torch.from_numpy(x).float().reshape(6, 1, 8, 8), 400).sample
    assert np.allclose(noise @ basis, theirs.numpy().reshape(6, 64), atol=1e-5)


def test_pipelines_and_folders_of_the_module_alone(tmp_path: Path) -> None:
    """A whole pipeline's folder, and one whose weights lie beside the configuration."""
    module = made.unet(tmp_path / "parts")
    pipeline = diffusers.DDPMPipeline(unet=module, scheduler=diffusers.DDPMScheduler())
    pipeline.save_pretrained(tmp_path / "pipeline")
    first, second = (
        brought.read(tmp_path / name, made.UNLABELLED, CPU) for name in ("parts", "pipeline")
    )
    assert first.digest == second.digest
    module.save_pretrained(tmp_path / "flat")
    diffusers.DDPMScheduler().save_pretrained(tmp_path / "flat" / "scheduler")
    assert brought.read(tmp_path / "flat", made.UNLABELLED, CPU).digest == first.digest


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"},
         r"beta_schedule = 'sigmoid' is not understood.*squaredcos_cap_v2"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow"},
         r"prediction_type = 'flow'.*v_prediction"),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.1] * 5},
         r"trained_betas holds 5 values, but num_train_timesteps = 1000"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 0}, "num_train_timesteps = 0"),
        ("scheduler/scheduler_config.json", {"beta_end": 2}, "beta_end = 2"),
        ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": True}, "zero_snr = true"),
        ("scheduler/scheduler_config.json", {"_class_name": "EulerDiscreteScheduler"},
         "EulerDiscreteScheduler.*DDPMScheduler"),
        ("unet/config.json", {"sample_size": 16}, r"\(1, 16, 16\).*\(1, 8, 8\)"),
        ("unet/config.json", {"in_channels": 3, "out_channels": 3}, r"\(3, 8, 8\).*\(1, 8, 8\)"),
        ("unet/config.json", {"out_channels": 2}, "out_channels = 2, in_channels = 1"),
        ("unet/config.json", {"num_class_embeds": 10}, "num_class_embeds = 10, the run has 1"),
        ("unet/config.json", {"class_embed_type": "timestep"}, "class_embed_type = 'timestep'"),
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, "UNet2DConditionModel"),
        ("unet/config.json", {"block_out_channels": [8, 24]}, r"wrong shape: .*24.*not.*16|wrong"),
        ("unet/config.json", {"layers_per_block": 2}, r"missing: .*resnets\.1"),
        ("unet/config.json", {"down_block_types": ["Nonsense"]}, "diffusers makes no UNet2DModel"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_its_key(
    name: str, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """Every refusal names the file, the key and what it holds."""
    made.unet(tmp_path)
    made.edit(tmp_path / name, **changes)
    with pytest.raises(ModelError, match=f"(?s){words}") as refused:
        brought.read(tmp_path, made.UNLABELLED, CPU)
    assert "nothing was loaded" in str(refused.value)
    assert name.split("/")[0] in str(refused.value)


def test_an_unconditional_model_for_labelled_records_is_refused(tmp_path: Path) -> None:
    """It would answer alike for every label."""
    made.unet(tmp_path)
    with pytest.raises(ModelError, match=r"num_class_embeds is null.*2 labels.*conditional = fal"):
        brought.read(tmp_path, made.LABELLED, CPU)


def test_weights_with_other_keys_shapes_or_damage_are_refused(tmp_path: Path) -> None:
    """A missing key, an unknown one, a NaN, a cut file, and formats that hold code."""
    made.unet(tmp_path)
    path = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    whole, content = load_file(path), path.read_bytes()

    def refused(words: str) -> None:
        with pytest.raises(ModelError, match=f"(?s){words}"):
            brought.read(tmp_path, made.UNLABELLED, CPU)

    save_file({k: v for k, v in whole.items() if k != "conv_in.bias"}, path)
    refused(r"missing: conv_in\.bias")
    save_file(whole | {"extra.weight": torch.zeros(2)}, path)
    refused(r"unexpected: extra\.weight")
    save_file(whole | {"conv_in.bias": torch.zeros(3)}, path)
    refused(r"wrong shape: conv_in\.bias \(3,\), not \(8,\)")
    save_file(whole | {"conv_in.bias": torch.full((8,), torch.nan)}, path)
    refused(r"conv_in\.bias holds values that are not finite")
    path.write_bytes(content[:-7])
    refused("is damaged, or no safetensors file")
    path.rename(path.with_suffix(".bin"))
    refused(r"diffusion_pytorch_model\.bin: files of this kind can run code")
    path.with_suffix(".bin").unlink()
    refused("cannot be read")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (ImageSchema("few", ("0", "1"), 8, 8, 30, 0.5), r"frequencies = 30 of 64 are kept"),
        (ImageSchema("moved", ("0", "1"), 8, 8, 64, 0.5, canonical=True), "canonical = true"),
    ],
)
def test_an_encoding_that_loses_something_is_refused(
    schema: ImageSchema, words: str, tmp_path: Path
) -> None:
    """What is not in a query cannot be asked about; the mend is the basis of pixels."""
    made.unet(tmp_path)
    with pytest.raises(ModelError, match=f'{words}.*basis = "pixels"'):
        brought.read(tmp_path, ImageEncoder(schema, conditional=False), CPU)
