"""The state that training changes."""

import torch

from striate.training.state import EpochSums


def test_weights_are_a_copy_on_the_cpu(prepared):
    _, state = prepared()
    held = state.weights()
    assert held.keys() == state.module.state_dict().keys()
    before = {name: tensor.clone() for name, tensor in held.items()}
    for parameter in state.module.parameters():
        parameter.data.add_(1)
    assert all(torch.equal(held[name], before[name]) for name in held)


def test_weights_are_the_averaged_ones_where_there_are_such(prepared):
    _, state = prepared(average__name="ema")
    started = state.weights()
    for parameter in state.module.parameters():
        parameter.data.add_(1)
    assert all(torch.equal(started[name], tensor) for name, tensor in state.weights().items())
    state.average = None
    assert not any(
        torch.equal(started[name], state.weights()[name])
        for name, _ in state.module.named_parameters()
    )


def test_speed_is_of_training_alone(prepared):
    _, state = prepared()
    assert state.images_per_second == 0
    state.images, state.seconds, state.wall = 100, 4.0, 50.0
    assert state.images_per_second == 25


def test_sums_begin_at_zero():
    sums = EpochSums.zero(torch.device("cpu"))
    assert (float(sums.loss), float(sums.correct), sums.images) == (0, 0, 0)
