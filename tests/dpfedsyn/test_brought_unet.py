"""Folders of diffusers: the same bits through us, and refusals that name key, shape and mend."""

import json
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
        ("unet/config.json", {"block_out_channels": [8, 24]},
         r"wrong shape: .*norm\.weight \(16,\), not \(24,\)"),
        ("unet/config.json", {"layers_per_block": 2}, r"missing: .*resnets\.1"),
        ("unet/config.json", {"down_block_types": ["Nonsense"]}, "diffusers makes no UNet2DModel"),
        ("unet/config.json", {"norm_num_groups": 0}, "makes no UNet2DModel.*ZeroDivisionError"),
        ("unet/config.json", {"attention_head_dim": 0}, "makes no UNet2DModel.*ZeroDivisionError"),
        ("unet/config.json", {"block_out_channels": []}, "makes no UNet2DModel.*IndexError"),
        ("unet/config.json", {"time_embedding_type": "?"}, "no UNet2DModel.*UnboundLocalError"),
        ("unet/config.json", {"sample_size": 8.0}, "sample_size = 8.0: is no whole number"),
        ("unet/config.json", {"sample_size": True}, "sample_size = True: is no whole number"),
        ("unet/config.json", {"sample_size": None}, "sample_size = None: is no whole number"),
        ("unet/config.json", {"sample_size": 0}, "sample_size = 0: is no whole number"),
        ("unet/config.json", {"sample_size": [8]}, r"sample_size = \[8\]: is no whole number"),
        ("unet/config.json", {"sample_size": [8, "8"]}, "sample_size = .*: is no whole number"),
        ("unet/config.json", {"sample_size": {"a": 1, "b": 2}}, "sample_size = .* no whole number"),
        ("unet/config.json", {"sample_size": [8, 16]}, r"\(1, 8, 16\).*\(1, 8, 8\)"),
        ("unet/config.json", {"in_channels": None}, "in_channels = None: is no whole number"),
        ("unet/config.json", {"in_channels": True}, "in_channels = True: is no whole number"),
        ("unet/config.json", {"out_channels": 1.0}, "out_channels = 1.0: is no whole number"),
        ("unet/config.json", {"num_class_embeds": True}, "num_class_embeds = True: is no whole"),
        ("unet/config.json", {"norm_eps": "x"}, "t = 0, its module fails .TypeError"),
        ("unet/config.json", {"downsample_padding": -5}, "t = 0, its module fails .RuntimeError"),
        ("unet/config.json", {"mid_block_scale_factor": 0}, "320 values that are not finite"),
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


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model_index.json", {"unet": ["my_code", "Own"]}, r"unet is \['my_code', 'Own'\]"),
        ("model_index.json", {"unet": 3}, "unet is 3"),
        ("model_index.json", None, r"model_index\.json: cannot be read .it is nested too deeply"),
        ("unet/config.json", None, r"config\.json: cannot be read .it is nested too deeply"),
        ("scheduler/scheduler_config.json", None, "scheduler_config.* nested too deeply"),
    ],
)
def test_a_folder_s_files_are_objects_and_name_no_other_code(
    name: str, content: Any, words: str, tmp_path: Path
) -> None:
    """What lies beside the weights is checked before anything is made of it."""
    made.unet(tmp_path)
    (tmp_path / name).write_text("[" * 100_000 if content is None else json.dumps(content))
    with pytest.raises(ModelError, match=words):
        brought.read(tmp_path, made.UNLABELLED, CPU)


def test_an_index_of_the_same_class_or_of_none_is_taken(tmp_path: Path) -> None:
    """Other parts of a pipeline are not asked for; sides may be written one by one."""
    made.unet(tmp_path)
    digest = brought.read(tmp_path, made.UNLABELLED, CPU).digest
    for index in ({}, {"unet": ["diffusers", "UNet2DModel"], "vae": ["x", "y"]}):
        (tmp_path / "model_index.json").write_text(json.dumps(index))
        made.edit(tmp_path / "unet" / "config.json", sample_size=[8, 8])
        assert brought.read(tmp_path, made.UNLABELLED, CPU).digest == digest


def test_labels_that_the_run_lacks_and_no_labels_are_told_apart(tmp_path: Path) -> None:
    """Ten labels for two, and two labels for a run without."""
    made.unet(tmp_path, num_class_embeds=2)
    with pytest.raises(ModelError, match=r"has 1 labels.*or set data\.conditional = true"):
        brought.read(tmp_path, made.UNLABELLED, CPU)
    made.edit(tmp_path / "unet" / "config.json", num_class_embeds=10)
    with pytest.raises(ModelError, match=r"has 2 labels.*in their order\.$"):
        brought.read(tmp_path, made.LABELLED, CPU)


def test_what_is_not_said_is_what_diffusers_would_take(tmp_path: Path) -> None:
    """Three channels, no labels, this class and a DDPM, where the files are silent."""
    made.unet(tmp_path)
    config, schedule = tmp_path / "unet/config.json", tmp_path / "scheduler/scheduler_config.json"
    for path, key in ((config, "_class_name"), (config, "num_class_embeds"),
                      (schedule, "_class_name")):  # fmt: skip
        content = json.loads(path.read_text())
        del content[key]
        path.write_text(json.dumps(content))
    model = brought.read(tmp_path, made.UNLABELLED, CPU)
    assert not model.labelled
    content = json.loads(config.read_text())
    del content["out_channels"]
    config.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="out_channels = 3, in_channels = 1"):
        brought.read(tmp_path, made.UNLABELLED, CPU)
    config.write_text(json.dumps({k: v for k, v in content.items() if k != "in_channels"}))
    with pytest.raises(ModelError, match=r"\(3, 8, 8\)"):
        brought.read(tmp_path, made.UNLABELLED, CPU)


def test_a_folder_s_module_is_in_evaluation_and_labelled_where_it_knows_labels(
    tmp_path: Path,
) -> None:
    """Its dropout is off, and no gradients are kept of it."""
    made.unet(tmp_path, num_class_embeds=2, dropout=0.9)
    model = brought.read(tmp_path, made.LABELLED, CPU)
    assert model.labelled
    assert not any(part.training for part in model.module.modules())
    assert not any(p.requires_grad for p in model.module.parameters())


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
