import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.data.preprocessing import Preprocessing
from striate.nets import parse_net
from striate.training.initialize import initialize, whitening_sample
from striate.training.sections import Initialize

PREPROCESSING = Preprocessing(size=(12, 12), channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
DEFAULT = "whiten2 gelu conv3-64b0 maxpool2 bnw0m0.4 gelu maxpool5 fc-10b0 scale1/64"


def photos(count: int = 40, size: int = 12) -> Tensor:
    """Smooth random images: neighbouring pixels are alike, as in photographs."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    smooth = nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    noisy = smooth + 0.05 * torch.rand(smooth.shape, generator=generator)
    return (noisy.clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def built(text: str, name: str, images: Tensor | None = None, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    module = parse_net(text).build((12, 12, 3))
    chosen = Initialize.model_validate({"name": name})
    initialize(module, chosen, photos() if images is None else images, preprocessing=PREPROCESSING)
    return module.layers


def whitened(layers: nn.Module, images: Tensor) -> Tensor:
    """The whitening layer's outputs for images, one row a patch."""
    scaled = (images / 255 - torch.tensor(PREPROCESSING.mean)) / torch.tensor(PREPROCESSING.std)
    return layers.whiten1(scaled.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(0, 2).detach()


def test_whitened_patches_have_a_covariance_of_one():
    layers = built(DEFAULT, "dirac")
    rows = whitened(layers, photos())
    first, second = rows[:, :12], rows[:, 12:]
    torch.testing.assert_close(first, -second)
    covariance = torch.cov(first.T)
    off_diagonal = covariance - covariance.diag().diag()
    assert off_diagonal.abs().max() < 1e-3
    assert covariance.diag().max() < 1.001
    # The epsilon beside the eigenvalues keeps the weakest directions below 1.
    assert covariance.diag()[0] == pytest.approx(1, abs=1e-3)


def test_the_chunks_do_not_matter(monkeypatch):
    whole = built(DEFAULT, "dirac").whiten1.weight
    monkeypatch.setattr("striate.training.initialize.LARGEST_CHUNK", 3 * 144 * 12)
    torch.testing.assert_close(built(DEFAULT, "dirac").whiten1.weight, whole)


def test_many_patches_are_thinned_out_before_they_are_read():
    module, choice, places = parse_net(DEFAULT).build((12, 12, 3)), Initialize(), np.arange(9000)
    sizes = {
        side: len(whitening_sample(module, choice, places, pixels=side * side))
        for side in (12, 32, 64, 512, 2048)
    }
    assert sizes == {12: 5000, 32: 5000, 64: 2500, 512: 33, 2048: 2}
    few = Initialize(whiten_images=7)
    assert whitening_sample(module, few, places, pixels=4).tolist() == list(range(7))


def test_a_net_without_whitening_reads_no_images():
    module, places = parse_net("conv3-4 relu fc-3").build((12, 12, 3)), np.arange(9)
    assert len(whitening_sample(module, Initialize(), places, pixels=144)) == 0


def test_whitening_looks_at_what_the_layer_sees():
    after_pooling = built("avgpool2 whiten2 gelu conv3-8 gap fc-3", "dirac")
    pooled = nn.functional.avg_pool2d(photos().permute(0, 3, 1, 2).float(), 2)
    scaled = (pooled / 255 - torch.tensor(PREPROCESSING.mean)[:, None, None]) / torch.tensor(
        PREPROCESSING.std
    )[:, None, None]
    rows = after_pooling.whiten1(scaled).permute(0, 2, 3, 1).flatten(0, 2).detach()[:, :12]
    covariance = torch.cov(rows.T)
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-3


def test_black_images_do_no_harm():
    layers = built(DEFAULT, "dirac", torch.zeros(4, 12, 12, 3, dtype=torch.uint8))
    assert torch.isfinite(layers.whiten1.weight).all()


def test_dirac_passes_the_inputs_on():
    layers = built("conv3-8 relu conv5-12b0 relu conv3-4 relu gap fc-3", "dirac")
    images = torch.randn(2, 8, 12, 12)
    torch.testing.assert_close(layers.conv2(images)[:, :8], images)
    assert layers.conv2.weight[8:].abs().mean() > 0.01
    wide = torch.randn(2, 12, 12, 12)
    narrowed = layers.conv3(wide) - layers.conv3.bias[:, None, None]
    torch.testing.assert_close(narrowed, wide[:, :4])


@pytest.mark.parametrize(
    "text", ["conv2-8 relu conv3-8g2 gap fc-3", "conv3-8 relu gap fc-3", "conv3-8 conv3-3 gap"]
)
def test_dirac_leaves_even_and_grouped_kernels_and_heads(text):
    torch.manual_seed(0)
    plain = dict(parse_net(text).build((12, 12, 3)).layers.named_children())
    for name, layer in built(text, "dirac").named_children():
        if isinstance(layer, nn.Conv2d) and (layer.groups > 1 or layer.kernel_size == (2, 2)):
            assert torch.equal(layer.weight, plain[name].weight)
    if text.endswith("gap"):
        assert (built(text, "dirac").conv2.weight != 0).all()


@pytest.mark.parametrize("name", ["torch", "he", "dirac"])
@pytest.mark.parametrize(("scale", "std"), [("scale1/64", 1.0), ("scale1/128", 2.0)])
def test_a_scaled_head_starts_small_in_the_logits(name, scale, std):
    layers = built(f"conv3-64 relu gap fc-10b0 {scale}", name)
    assert float(layers.fc1.weight.detach().std()) == pytest.approx(std)


def test_an_unscaled_head_starts_so_with_dirac_only():
    text = "conv3-64 relu gap fc-10"
    assert float(built(text, "dirac").fc1.weight.detach().std()) == pytest.approx(1 / 64)
    torch.manual_seed(0)
    plain = parse_net(text).build((12, 12, 3)).layers
    assert torch.equal(built(text, "torch").fc1.weight, plain.fc1.weight)


@pytest.mark.parametrize("layer", ["conv3-200", "fc-400", "tconv3-200", "local3-20"])
def test_he_draws_a_variance_of_two_over_fan_in(layer):
    layers = built(f"conv1-40 relu {layer} relu fc-3", "he")
    second = list(layers.children())[2]
    fan_in = 40 * 144 if layer.startswith("fc") else 40 * 9
    assert float(second.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_in), rel=0.02)
    assert (second.bias == 0).all()


def test_he_keeps_the_size_of_what_rectifiers_pass_on():
    text = "conv3-64" + " relu conv3-64" * 8 + " gap fc-3"
    images = torch.randn(8, 3, 12, 12)
    layers = built(text, "he")
    sizes = []
    for name, layer in layers.named_children():
        images = layer(images)
        if name.startswith("conv"):
            sizes.append(float(images.detach().square().mean()))
    assert 0.3 < sizes[-1] / sizes[0] < 3


@pytest.mark.parametrize("name", ["torch", "he", "dirac"])
def test_the_seed_decides(name):
    first, same, other = (built(DEFAULT, name, seed=seed) for seed in (0, 0, 1))
    states = [
        torch.cat([t.flatten() for t in m.state_dict().values()]) for m in (first, same, other)
    ]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_the_module_stays_in_training_mode():
    torch.manual_seed(0)
    module = parse_net(DEFAULT).build((12, 12, 3))
    initialize(module, Initialize(), photos(), preprocessing=PREPROCESSING)
    assert module.training
    statistics = module.layers.bn1.running_mean
    assert np.allclose(statistics, 0)
