import pytest
import torch
from torch import nn

from striate.training.averaging import WeightAverage, make_average
from striate.training.sections import Average


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def disturb(module: nn.Module, seed: int) -> None:
    """A stand-in for a training step, the running statistics included."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.randn(tensor.shape, generator=generator))


def average(name: str, module: nn.Module, **fields: object) -> WeightAverage:
    made = make_average(Average.model_validate({"name": name, **fields}), module)
    assert made is not None
    return made


def values(module: nn.Module) -> torch.Tensor:
    return torch.cat(
        [t.flatten().clone() for t in module.state_dict().values() if t.is_floating_point()]
    )


def applied(held: WeightAverage, module: nn.Module) -> torch.Tensor:
    with held.applied(module):
        return values(module)


def test_none_is_none():
    assert make_average(Average(name="none"), net()) is None


def test_ema_is_the_formula_statistics_included():
    module = net()
    held = average("ema", module, decay=0.7, every=2)
    expected = values(module)
    for step in range(1, 31):
        disturb(module, step)
        before = values(module)
        held.update(module)
        assert torch.equal(values(module), before)
        if step % 2 == 0:
            decay = min(0.49, (1 + step // 2) / (10 + step // 2))
            expected = decay * expected + (1 - decay) * before
    torch.testing.assert_close(applied(held, module), expected)


def test_lookahead_moves_average_and_weights_together():
    module = net()
    held = average("lookahead", module, decay=0.9, every=3)
    slow = values(module)
    for step in range(1, 10):
        disturb(module, step)
        fast = values(module)
        held.update(module, progress=step / 9)
        if step % 3:
            assert torch.equal(values(module), fast)
            continue
        decay = 0.9**3 * (step / 9) ** 3
        slow = decay * slow + (1 - decay) * fast
        torch.testing.assert_close(values(module), slow)
    torch.testing.assert_close(applied(held, module), slow)


def test_the_average_is_put_back_even_after_an_error():
    module = net()
    held = average("ema", module)
    disturb(module, 1)
    own = values(module)
    with pytest.raises(RuntimeError, match="mat1 and mat2"), held.applied(module):
        nn.functional.linear(torch.ones(2, 3), torch.ones(2, 2))
    assert torch.equal(values(module), own)


@pytest.mark.parametrize("name", ["ema", "lookahead"])
def test_a_restored_average_goes_on_the_same(name):
    def run(module: nn.Module, held: WeightAverage, steps: range) -> None:
        for step in steps:
            disturb(module, step)
            held.update(module, progress=step / 12)

    straight = net()
    held = average(name, straight, every=2)
    run(straight, held, range(12))
    stopped = net()
    first = average(name, stopped, every=2)
    run(stopped, first, range(7))
    second = average(name, net(), every=2)
    second.load_state_dict(first.state_dict())
    run(stopped, second, range(7, 12))
    assert torch.equal(values(stopped), values(straight))
    assert torch.equal(applied(second, stopped), applied(held, straight))


def test_a_state_of_another_net_is_refused():
    state = average("ema", net()).state_dict()
    other = average("ema", nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="another net"):
        other.load_state_dict(state)
