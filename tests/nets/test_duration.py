"""The predicted time of a training step, and the measurements that it rests on."""

import math

import pytest
import torch

from striate.nets import load_net, parse_net
from striate.nets.graph import steps
from striate.nets.speed import (
    loss_seconds,
    measure_ceilings,
    optimizer_seconds,
    work_seconds,
)
from striate.nets.work import alike, cut, halved, smallest


def pieces(text: str):
    return cut(parse_net(text).trace())


def is_time(seconds: float) -> bool:
    return 0 < seconds < math.inf


# No test here compares a time with another: benchmarks/step_time.py holds the prediction to 30 %.


def test_it_changes_no_random_numbers_and_no_modes() -> None:
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    with torch.no_grad():
        assert is_time(load_net("resnet20").step_seconds(batch=8))
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    "text",
    [
        "input 40x40x8 conv3-8/2c local3-4 tconv3-8/2 whiten2 conv5-16g4 bn gelu lrn l2pool2",
        "input 16x16x4 conv3-4 maxpool2 unpool2 nearest2 nails2 avgpool2 ln silu scale1/2 gap fc-2",
        "input 8x8x4 (skip | conv3-4 relu) (skip + conv1-8) dropout0.5 code identity softmax",
        "input 6x6x1 reshape3x12x1 conv2-2 tanh fc-5 bn relu",
        "input 32x32x3 maxpool2",
    ],
)
def test_every_kind_of_layer_has_a_time(text: str) -> None:
    assert is_time(parse_net(text).step_seconds(batch=3))


def test_a_net_that_is_too_large_to_try_still_has_a_time() -> None:
    net = parse_net("input 100x100000x3 conv3-4 gap fc-1000000")
    assert is_time(net.step_seconds(batch=1000))
    assert is_time(parse_net("input 2x2x100000 conv3-100000").step_seconds())


def test_pieces_are_all_that_costs_time() -> None:
    words = [
        "+".join(step.text for step in work.layers) or work.join
        for work in pieces("input 8x8x2 conv3-4 code (skip | maxpool2 identity unpool2) gap fc-2")
    ]
    assert words == ["conv3-4", "maxpool2+unpool2", "concat", "gap", "fc-2"]


def test_layers_that_run_as_one_operator_are_one_piece() -> None:
    words = [
        ["+".join(step.text for step in steps(work.layers)), work.weights, work.trained]
        for work in pieces("input 8x8x2 maxpool2 bn relu (conv3-2 bn + skip) relu fc-2")
    ]
    assert words == [
        ["maxpool2+bn+relu", 4, False],
        ["conv3-2", 2 * 9 * 2, True],
        ["bn+relu", 4, True],
        ["fc-2", 2 * (2 * 16 + 1), True],
    ]


def test_the_trunk_of_a_small_net_is_one_piece() -> None:
    trunk, *head = pieces("input 8x8x2 conv3-4 relu conv3-8 maxpool2 relu fc-2")
    assert (
        "+".join(step.text for step in steps(trunk.layers)) == "conv3-4+relu+conv3-8+maxpool2+relu"
    )
    assert (trunk.weights, trunk.tensors) == (4 * 19 + 8 * 37, 4)
    assert trunk.multiply_adds == 64 * (4 * 18 + 8 * 36)
    assert halved(trunk, 64) == (trunk, 32)
    assert halved(trunk, 16) is None
    assert [work.weights for work in head] == [2 * (8 * 16 + 1)]
    assert [work.fused for work in (trunk, *head)] == [True, False]


def test_a_pooling_that_is_undone_is_no_part_of_another_operator() -> None:
    words = [
        "+".join(step.text for step in steps(work.layers))
        for work in pieces("input 8x8x2 conv3-2 maxpool2 bn relu unpool2")
    ]
    assert words == ["conv3-2", "bn+relu", "maxpool2+unpool2"]


def test_the_images_ask_for_no_gradient() -> None:
    found = [work.trained for work in pieces("input 8x8x2 lrn (skip + relu) conv3-4 relu fc-2")]
    assert found == [False, False, True, False, True, True]


def test_weights_and_their_tensors_are_counted() -> None:
    text = "input 8x8x2 whiten1 conv3-4b0 bn bnb ln conv1-4 fc-2 fc-3"
    counted = [(work.weights, work.tensors) for work in pieces(text.replace(" bnb", ""))]
    assert counted == [
        (4, 1), (4 * 9 * 4, 1), (8, 2), (8, 2), (20, 2), (2 * (256 + 1), 2), (9, 2)
    ]  # fmt: skip


def test_layers_of_one_kind_and_about_one_size_are_alike() -> None:
    first, same, wider, strided, grouped = pieces(
        "input 16x16x32 conv3-32 conv3-32 conv3-200 conv3-32/2 conv3-32g4"
    )  # the first has no gradient to pass on
    assert len({alike(work, 8) for work in (first, same, wider, strided, grouped)}) == 5
    third, fourth = pieces("input 16x16x32 lrn conv3-32 conv3-32 conv3-36")[2:]
    assert alike(third, 8) == alike(fourth, 8)
    (relu,) = pieces("input 16x16x32 relu")
    assert alike(relu, 8) != alike(relu, 800)


def test_half_of_a_piece_takes_half_of_the_products() -> None:
    _, work = pieces("input 64x32x3 lrn conv3-8")
    assert halved(work, 8) == (work, 4)
    half, batch = halved(work, 2)
    assert (half.input.height, half.input.width, batch) == (32, 32, 2)
    assert 2 * half.multiply_adds == work.multiply_adds
    assert half.weights == work.weights
    quarter, _ = halved(half, 2)
    assert halved(halved(quarter, 2)[0], 2) is None


def test_a_few_images_stay_where_fewer_take_another_way() -> None:
    point, strided = pieces("input 16x16x64 conv1-64 conv1-64/2")
    assert halved(point, 24) == (point, 16)
    assert halved(point, 16) is None
    assert halved(strided, 16) == (strided, 8)
    assert halved(strided, 2) is None


def test_half_of_a_fully_connected_layer_has_half_of_its_weights() -> None:
    (full,) = pieces("input 1x1x512 fc-4096")
    half, batch = halved(full, 8)
    assert (half.weights, batch) == (256 * 4096 + 4096, 8)
    assert halved(half, 8) == (half, 4)


def test_the_smallest_piece_keeps_its_weights() -> None:
    (work,) = pieces("input 64x64x3 conv11-8/4p0")
    least, batch = smallest(work, 100)
    assert (least.input.height, batch, least.weights) == (11, 2, work.weights)
    (join,) = pieces("input 64x64x3 (skip + skip)")
    assert smallest(join, 1)[0].input.size == 12


def test_ceilings_are_plausible() -> None:
    ceilings = measure_ceilings()
    assert 1e8 < ceilings.multiply_adds_per_second < 1e14
    assert 1e7 < ceilings.bytes_per_second < 1e13


def test_each_part_of_a_step_has_a_time() -> None:
    work = pieces("input 8x8x16 relu conv3-16")[1]
    assert is_time(work_seconds(work, 2, copies=2))
    (join,) = pieces("input 64x64x16 (skip | skip)")
    assert is_time(work_seconds(join, 1, copies=2))
    assert is_time(loss_seconds(10, 4))
    assert is_time(optimizer_seconds(100, 10**9, memory=10**9))
    assert optimizer_seconds(0, 0, memory=0) == 0
