"""The net that is chosen when none is asked for."""

import pytest
import torch

from striate.nets import auto_net
from striate.nets.auto import RULES


def test_the_net_for_cifar10_is_the_records() -> None:
    net, why = auto_net(size=(32, 32), channels=3, classes=10, images=50_000)
    summary = net.summary()
    assert summary.parameters == 1_971_352
    assert 2 * summary.multiply_adds == pytest.approx(236e6, rel=2e-3)
    maps = [row.output[0] for row in summary.layers if "pool" in row.text or "whiten" in row.text]
    assert maps == [31, 15, 7, 3, 1]
    assert why == (
        "small colour images (32x32x3): the whitened net with groups of 64, 256 and 256 kernels"
    )


def test_the_net_for_digits_never_pools_below_two_rows() -> None:
    net, _ = auto_net(size=(8, 8), channels=1, classes=10, images=1_500)
    sizes = [row.output[0] for row in net.summary().layers if row.text.startswith("conv")]
    assert min(sizes) >= 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("images", [100, 60_000])
@pytest.mark.parametrize(
    "size",
    [(1, 1), (2, 2), (3, 7), (8, 8), (12, 20), (28, 28), (32, 32), (48, 48), (64, 64), (96, 72),
     (128, 128), (224, 224), (300, 40)],
)  # fmt: skip
def test_every_size_gets_a_net_that_runs(size: tuple[int, int], images: int, channels: int) -> None:
    net, why = auto_net(size=size, channels=channels, classes=7, images=images)
    assert net.input == (*size, channels)
    assert f"{size[0]}x{size[1]}x{channels}" in why
    last_map = next(row for row in reversed(net.summary().layers) if row.text.startswith("conv"))
    assert max(last_map.output[:2]) <= 9
    module = net.build().eval()
    assert module(torch.rand(2, channels, *size)).shape == (2, 7)


def test_few_images_get_narrower_groups() -> None:
    few, why = auto_net(size=(32, 32), channels=3, classes=5, images=500)
    many, _ = auto_net(size=(32, 32), channels=3, classes=5, images=5_000)
    assert few.summary().parameters < many.summary().parameters
    assert "only 500" in why


def test_the_rules_end_with_all_sizes_for_both_kinds() -> None:
    last = {rule.channels: rule.largest_side for rule in RULES}
    assert last == {1: 1_000_000, 3: 1_000_000}
