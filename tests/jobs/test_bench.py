"""`striate.bench`: the choices that it makes, and the figures that it gives."""

import numpy as np
import pytest
import torch

import striate
from striate.errors import DataError, NetError, RecipeError, UsageError
from striate.jobs.bench import _choose_batch
from striate.nets import parse_net

PHASES = [
    "gather",
    "forward",
    "input gradient",
    "weight gradient",
    "pointwise",
    "optimiser",
    "other",
]


@pytest.fixture(scope="module")
def found():
    return striate.bench("conv3-8 relu maxpool2 fc-3", input=(8, 8, 1), batch=16, seconds=0.01)


def test_phases_add_up_to_the_step(found):
    assert [phase.name for phase in found.phases] == PHASES
    assert sum(phase.seconds for phase in found.phases) == pytest.approx(found.seconds)
    assert all(phase.seconds > 0 for phase in found.phases[:-1])


def test_passes_of_layers_add_up_to_phases(found):
    for phase in found.phases[1:4]:
        parts = [part.phase for part in found.layers if part.phase.name == phase.name]
        assert phase.seconds == pytest.approx(sum(part.seconds for part in parts))
        assert phase.flop == sum(part.flop for part in parts) > 0
        assert phase.bytes == sum(part.bytes for part in parts)


def test_operations_are_two_for_each_multiply_add(found):
    convolution, full = 8 * 8 * 9 * 8, 4 * 4 * 8 * 3
    assert found.flop == 2 * 16 * (2 * convolution + 3 * full)
    assert found.flop_rate * found.seconds == pytest.approx(found.flop)


def test_bytes_of_a_layer_are_input_output_and_weights(found):
    first = next(part.phase for part in found.layers if part.layer == "conv1")
    assert first.bytes == 4 * (16 * (64 + 8 * 64) + 8 * 9)
    assert first.intensity == first.flop / first.bytes


def test_rates_are_of_this_world(found):
    tops = found.ceilings
    assert min(tops.fp32_flop, tops.bf16_flop, tops.copy_bytes) > 1e8
    shares = [found.share_of_ceiling(phase) for phase in found.phases[:-1]]
    assert all(0 < share < 3 for share in shares)
    assert found.share_of_ceiling(found.phases[-1]) is None


def test_one_thread_where_a_step_is_too_short_to_share(found):
    assert found.step_threads == 1


def test_threads_are_set_for_the_while():
    before = torch.get_num_threads()
    found = striate.bench("fc-3", input=(8, 8, 1), batch=16, seconds=0.01, threads=before + 1)
    assert found.threads == before + 1
    assert torch.get_num_threads() == before


def test_bf16_halves_the_bytes():
    arguments = {"input": (8, 8, 1), "batch": 16, "seconds": 0.01}
    found = striate.bench("conv3-8 relu fc-3", precision="bf16", **arguments)
    assert found.precision == "bf16"
    assert found.ceiling == found.ceilings.bf16_flop
    assert found.layers[0].phase.bytes == 2 * (16 * (64 + 8 * 64) + 8 * 9)


def test_settings_of_the_recipe():
    arguments = {"input": (8, 8, 1), "seconds": 0.01, "settings": {"batch_size": 24}}
    adam = {"name": "adam", "lr": 1e-3}
    found = striate.bench("conv3-8 bn relu fc-3", kernels="off", optimizer=adam, **arguments)
    assert (found.kernels, found.batch) == ("off", 24)
    by_name = {phase.name: phase for phase in found.phases}
    assert by_name["optimiser"].flop == 0
    assert found.share_of_ceiling(by_name["optimiser"]) is None


def test_data_give_images_and_classes(tiny_data):
    found = striate.bench("conv3-8 relu fc-10", data=tiny_data, seconds=0.01)
    assert found.data == "tiny"
    assert found.net == "input 8x8x1 conv3-8 relu fc-3"
    assert found.input == (8, 8, 1)
    assert found.batch == 32  # as training would choose for so few images


def test_the_name_of_a_data_set_is_the_default_net_on_it():
    found = striate.bench("digits", batch=32, seconds=0.01)
    assert found.data == "digits"
    assert found.net.startswith("input 8x8x1 whiten2")


def test_a_net_has_images_of_its_own_size_and_the_recipes_batch():
    found = striate.bench(parse_net("input 6x6x1 conv3-2 relu fc-4"), seconds=0.01)
    assert (found.input, found.batch, found.data) == ((6, 6, 1), 1000, None)


def test_a_batch_is_halved_where_a_step_would_be_long(heard):
    large = parse_net("input 224x224x3 conv3-64 relu conv3-64 relu gap fc-3")
    assert _choose_batch(large, 50_000, heard) == 62
    assert heard.said == ["batch size 62: a step of 1000 would be long or large here"]
    assert _choose_batch(parse_net("input 8x8x1 fc-3"), 50_000, heard) == 1000
    assert len(heard.said) == 1


def test_fewer_images_than_a_batch():
    images = np.zeros((20, 8, 8), np.uint8)
    data = striate.Data.from_arrays(images, np.arange(20) % 2)
    found = striate.bench("fc-2", data=data, batch=500, seconds=0.01)
    assert found.batch == len(data.split(seed=0).indices(0))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"net": "lenet6"}, NetError, "did you mean lenet5"),
        ({"net": "conv3-8 relu"}, NetError, "not in a fully connected layer"),
        ({"net": "conv9-8p0 fc-3", "input": (8, 8, 1)}, NetError, "conv9-8"),
        ({"batch": 1}, UsageError, "batch: 1 is too few (2 or more)"),
        ({"threads": 0}, UsageError, "threads: 0 is too few (1 or more)"),
        ({"seconds": 0}, UsageError, "seconds: 0 is no length of time"),
        ({"precision": "fp16"}, RecipeError, "precision should be"),
        ({"optimiser": "adam"}, RecipeError, "unknown setting 'optimiser'"),
        ({"data": "nowhere"}, DataError, "nowhere"),
        ({"data": "digits", "input": (8, 8, 1)}, UsageError, "leave one out"),
        ({"input": (8, 8, 2), "net": "fc-3", "batch": 4}, UsageError, "2 channels (1 or 3)"),
    ],
)
def test_what_is_wrong_is_said(arguments, error, message):
    with pytest.raises(error) as caught:
        striate.bench(**arguments)
    assert message in str(caught.value)
