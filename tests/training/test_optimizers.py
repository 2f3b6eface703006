from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.nets import parse_net
from striate.training.optimizers import Optimizers, _muon_groups, make_optimizers
from striate.training.sections import Optimizer

NAMES = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "muon")
WHITENED = (
    "whiten2 gelu conv3-8b0 maxpool2 bnw0m0.4 gelu "
    "conv3-8 bn gelu maxpool3 fc-16 relu fc-3b0 scale1/16"
)
MODEST = {
    "sgd": 0.1,
    "momentum": 0.05,
    "nesterov": 0.05,
    "rmsprop": 0.01,
    "adam": 0.01,
    "adamw": 0.01,
    "muon": 0.1,
}


def choice(name: str, **changes: Any) -> Optimizer:
    return Optimizer.model_validate({"name": name, "lr": MODEST[name], **changes})


def net(text: str = WHITENED, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return parse_net(text).build((9, 9, 3)).to(memory_format=torch.channels_last)


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(24) % 3
    images = torch.randn(24, 3, 9, 9, generator=generator) + labels[:, None, None, None].float()
    return images.to(memory_format=torch.channels_last), labels


def train(module: nn.Module, optimizers: Optimizers, steps: int, *, first: int = 0) -> list[float]:
    losses = []
    for step in range(first, first + steps):
        images, labels = batch(step % 4)
        loss = nn.functional.cross_entropy(module(images), labels)
        optimizers.zero_grad()
        loss.backward()
        optimizers.step(1 - step / 100, whiten_factor=max(0.0, 1 - step / 5))
        losses.append(loss.item())
    return losses


class Point(nn.Module):
    """A point in the plane that minimises the deck's (t1^2 + 4 t2^2) / 2."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor([3.0, -2.0], dtype=torch.float64))

    def loss(self) -> Tensor:
        return (self.place[0] ** 2 + 4 * self.place[1] ** 2) / 2


def path(name: str, steps: int, **changes: Any) -> np.ndarray:
    point = Point()
    optimizers = make_optimizers(point, choice(name, **changes), batch_size=1)
    places = []
    for _ in range(steps):
        optimizers.zero_grad()
        point.loss().backward()
        optimizers.step(1.0)
        places.append(point.place.detach().numpy().copy())
    return np.array(places)


def reference(name: str, steps: int, settings: Optimizer) -> np.ndarray:
    """The decks' formulas, in NumPy."""
    place, slow, square = np.array([3.0, -2.0]), np.zeros(2), np.zeros(2)
    rate, decay, b, b2 = settings.lr, settings.weight_decay, settings.momentum, settings.beta2
    places = []
    for t in range(1, steps + 1):
        g = np.array([1.0, 4.0]) * place
        if name == "adamw":
            place = place - rate * decay * place
        else:
            g = g + decay * place
        if name == "sgd":
            move = g
        elif name == "momentum":
            slow = b * slow + g
            move = slow
        elif name == "nesterov":
            slow = b * slow + g
            move = g + b * slow
        elif name == "rmsprop":
            square = b2 * square + (1 - b2) * g * g
            slow = b * slow + g / (np.sqrt(square) + settings.epsilon)
            move = slow
        else:
            slow = b * slow + (1 - b) * g
            square = b2 * square + (1 - b2) * g * g
            root = np.sqrt(square / (1 - b2**t))
            move = slow / (1 - b**t) / (root + settings.epsilon)
        place = place - rate * move
        places.append(place)
    return np.array(places)


@pytest.mark.parametrize("name", NAMES[:-1])
@pytest.mark.parametrize("decay", [0.0, 0.03])
def test_steps_are_those_of_the_formula(name, decay):
    settings = {"weight_decay": decay, "momentum": 0.7, "beta2": 0.9}
    expected = reference(name, 20, choice(name, **settings))
    assert np.allclose(path(name, 20, **settings), expected, atol=1e-10)


@pytest.mark.parametrize("name", NAMES[:-1])
def test_steps_are_those_of_pytorchs_classes_to_the_last_bit_and_go_on_from_their_memories(name):
    settings = choice(name, weight_decay=0.01)
    betas = (settings.momentum, settings.beta2)
    mine, theirs = net(), net()
    rates = {"lr": settings.lr, "weight_decay": 0.01}
    peer = {
        "sgd": lambda p: torch.optim.SGD(p, **rates),
        "momentum": lambda p: torch.optim.SGD(p, **rates, momentum=0.9),
        "nesterov": lambda p: torch.optim.SGD(p, **rates, momentum=0.9, nesterov=True),
        "rmsprop": lambda p: torch.optim.RMSprop(p, **rates, alpha=0.99),
        "adam": lambda p: torch.optim.Adam(p, **rates, betas=betas, fused=True),
        "adamw": lambda p: torch.optim.AdamW(p, **rates, betas=betas, fused=True),
    }[name]([p for p in theirs.parameters() if p.requires_grad])
    optimizers = make_optimizers(mine, settings, batch_size=24)
    names = {parameter: name for name, parameter in theirs.named_parameters()}
    for step in range(4):
        if step == 2:  # as from a checkpoint that the classes have written
            optimizers = make_optimizers(mine, settings, batch_size=24)
            memory = {
                names[parameter]: {key: kept for key, kept in state.items() if kept is not None}
                for parameter, state in peer.state.items()
            }
            optimizers.load_state_dict({"memory": memory, "frozen": False})
        for own, other in zip(mine.parameters(), theirs.parameters(), strict=True):
            if own.requires_grad:
                own.grad = torch.randn_like(own)
                other.grad = own.grad.clone()
        optimizers.step(1.0, whiten_factor=1.0)
        peer.step()
    for own, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(own, other)


def test_gradient_descent_has_the_decks_closed_form():
    steps = np.arange(1, 31)[:, None]
    expected = np.array([3.0, -2.0]) * np.array([0.9, 0.6]) ** steps
    assert np.allclose(path("sgd", 30, lr=0.1, weight_decay=0.0), expected)


def test_two_steps_of_momentum_are_the_decks_line():
    """W <- W - rate (b G(t-1) + G(t)), literally."""
    start = np.array([3.0, -2.0])
    first, second = path("momentum", 2, lr=0.1, momentum=0.6, weight_decay=0.0)
    gradients = np.array([1.0, 4.0]) * start, np.array([1.0, 4.0]) * first
    assert np.allclose(second, first - 0.1 * (0.6 * gradients[0] + gradients[1]))


def test_momentum_zero_is_plain_descent():
    plain = path("sgd", 9, lr=0.1)
    for name in ("momentum", "nesterov"):
        assert np.allclose(path(name, 9, lr=0.1, momentum=0.0), plain)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_falls(name):
    module = net(WHITENED if name == "muon" else WHITENED.removesuffix("scale1/16"))
    losses = train(module, make_optimizers(module, choice(name), batch_size=24), 40)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_training_is_deterministic(name):
    first, second = net(), net()
    for module in (first, second):
        train(module, make_optimizers(module, choice(name), batch_size=24), 6)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stop", [0, 3, 8])  # at 8 the whitening's bias is frozen
def test_a_restored_state_goes_on_to_the_same_weights(name, stop, tmp_path):
    from safetensors.torch import load_file, save_file

    straight = net()
    train(straight, make_optimizers(straight, choice(name), batch_size=24), 12)

    stopped = net()
    optimizers = make_optimizers(stopped, choice(name), batch_size=24)
    train(stopped, optimizers, stop)
    state = optimizers.state_dict()
    tensors = {
        f"{parameter}:{key}": tensor.contiguous()
        for parameter, kept in state["memory"].items()
        for key, tensor in kept.items()
    }
    save_file(tensors, tmp_path / "state.safetensors")
    weights = {name: tensor.contiguous() for name, tensor in stopped.state_dict().items()}

    resumed = net(seed=1)
    resumed.load_state_dict(weights)
    fresh = make_optimizers(resumed, choice(name), batch_size=24)
    memory: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(tmp_path / "state.safetensors").items():
        parameter, what = key.split(":")
        memory.setdefault(parameter, {})[what] = tensor
    fresh.load_state_dict({"memory": memory, "frozen": state["frozen"]})
    train(resumed, fresh, 12 - stop, first=stop)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_survives(name):
    module = net()
    optimizers = make_optimizers(module, choice(name), batch_size=24)
    train(module, optimizers, 2)
    optimizers.load_state_dict(optimizers.state_dict())
    train(module, optimizers, 2)
    memory = optimizers.state_dict()["memory"]
    for key, parameter in module.named_parameters():
        if parameter.ndim == 4:
            assert parameter.is_contiguous(memory_format=torch.channels_last)
            for tensor in memory.get(key, {}).values():
                if tensor.ndim:
                    assert tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", NAMES)
def test_a_zero_gradient_without_decay_leaves_all_but_muons_norms(name):
    module = net()
    optimizers = make_optimizers(module, choice(name, weight_decay=0.0), batch_size=24)
    before = {key: p.detach().clone() for key, p in module.named_parameters()}
    for _ in range(2):
        for parameter in module.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizers.step(1.0, whiten_factor=1.0)
    for key, parameter in module.named_parameters():
        if name == "muon" and "momentum" in optimizers.state_dict()["memory"].get(key, {}):
            expected = before[key] * (parameter.detach().norm() / before[key].norm())
            torch.testing.assert_close(parameter.detach(), expected)
        else:
            assert torch.equal(parameter, before[key])


@pytest.mark.parametrize("name", NAMES)
def test_a_factor_of_zero_moves_nothing_but_muons_norms(name):
    module = net()
    optimizers = make_optimizers(module, choice(name), batch_size=24)
    before = {key: p.detach().clone() for key, p in module.named_parameters()}
    images, labels = batch()
    nn.functional.cross_entropy(module(images), labels).backward()
    optimizers.step(0.0)
    filters = optimizers.state_dict()["memory"] if name == "muon" else {}
    for key, parameter in module.named_parameters():
        if "momentum" not in filters.get(key, {}):
            assert torch.equal(parameter, before[key])


@pytest.mark.parametrize("name", NAMES)
def test_the_whitening_bias_follows_its_own_factor_and_is_then_frozen(name):
    module = net()
    bias = module.get_parameter("layers.whiten1.bias")
    optimizers = make_optimizers(module, choice(name), batch_size=24)
    images, labels = batch()

    def step(factor: float, whiten_factor: float) -> float:
        before = bias.detach().clone()
        optimizers.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()
        optimizers.step(factor, whiten_factor=whiten_factor)
        return float((bias.detach() - before).abs().max())

    assert step(0.0, 1.0) > 0
    assert bias.requires_grad
    assert step(1.0, 0.0) == 0
    assert not bias.requires_grad
    assert optimizers.state_dict()["frozen"]
    assert step(1.0, 0.0) == 0
    assert bias.grad is None
    step(1.0, 1.0)  # thaws it for the step after
    assert step(0.0, 1.0) > 0


def moves(
    text: str, size: tuple[int, int, int], *, batch_size: int, **changes: Any
) -> dict[str, Tensor]:
    """How far one step without momentum moves each parameter, for gradients of 1."""
    torch.manual_seed(0)
    module = parse_net(text).build(size)
    settings = {"side_momentum": 0.0, "weight_decay": 0.0, **changes}
    optimizers = make_optimizers(module, choice("muon", **settings), batch_size=batch_size)
    before = {key: p.detach().clone() for key, p in module.named_parameters()}
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizers.step(1.0, whiten_factor=0.5)
    return {key: before[key] - p.detach() for key, p in module.named_parameters()}


def is_all(moved: Tensor, expected: float) -> bool:
    """Up to the rounding of the weights that were subtracted."""
    return torch.allclose(moved, torch.tensor(expected), rtol=1e-2)


def test_muons_side_rates_are_those_of_the_records():
    text = "whiten2 gelu conv3-8 gelu conv3-256 bn gelu maxpool7 fc-10b0 scale1/256"
    step = moves(text, (8, 8, 3), batch_size=100)
    assert is_all(step["layers.whiten1.bias"], 0.053 * 100 * 0.5)
    assert is_all(step["layers.conv1.bias"], 0.053 * 100 / 64)
    assert is_all(step["layers.bn1.bias"], 0.053 * 100)
    assert is_all(step["layers.bn1.weight"], 0.053 * 100 / 64)
    assert is_all(step["layers.fc1.weight"], 0.67 * 100)


@pytest.mark.parametrize("scale", ["", "scale0.1", "scale1/64"])
@pytest.mark.parametrize("width", [16, 64])
def test_the_head_moves_the_logits_alike_whatever_its_scale_and_width(scale, width):
    step = moves(f"conv3-{width} relu gap fc-10 {scale}", (8, 8, 3), batch_size=1)
    factor = {"": 1.0, "scale0.1": 0.1, "scale1/64": 1 / 64}[scale]
    # The gradient of the logits' sum for unit inputs is `factor` in each weight, and 1 is given.
    assert is_all(step["layers.fc1.weight"] * factor * factor * width, 0.67 / 256)
    assert is_all(step["layers.fc1.bias"] * factor * factor * width, 0.67 / 256)


def test_a_final_convolution_is_a_head():
    step = moves("conv3-16 relu conv1-10 gap", (8, 8, 3), batch_size=1)
    assert is_all(step["layers.conv2.weight"], 0.67 / 256 / 16)


def test_rates_and_decay_mean_a_loss_summed_over_the_batch():
    """One step equals plain SGD on the sum, with the decay of the records."""
    torch.manual_seed(0)
    module = parse_net("fc-3").build((2, 2, 1))
    twin = parse_net("fc-3").build((2, 2, 1))
    twin.load_state_dict(module.state_dict())
    images, labels = torch.randn(8, 1, 2, 2), torch.arange(8) % 3
    settings = choice("muon", side_momentum=0.0, weight_decay=1e-3, head_lr=1.0)
    optimizers = make_optimizers(module, settings, batch_size=8)
    nn.functional.cross_entropy(module(images), labels).backward()
    optimizers.step(1.0)
    nn.functional.cross_entropy(twin(images), labels, reduction="sum").backward()
    rate = 1 / (256 * 4)
    for parameter, other in zip(module.parameters(), twin.parameters(), strict=True):
        expected = other - rate * other.grad - 1e-3 * 8 * other
        torch.testing.assert_close(parameter.detach(), expected.detach())


def test_gains_do_not_decay():
    step = moves("conv3-8 bn relu gap fc-3", (8, 8, 3), batch_size=10, weight_decay=0.1)
    assert is_all(step["layers.bn1.weight"], 0.053 / 64 * 10)


@pytest.mark.parametrize(
    "text",
    [
        "conv3-6 bn relu (conv3-6/1g6 bn relu conv1-6 + skip) relu gap fc-16 relu fc-3",
        "local3-4 relu tconv2-4/2 relu gap ln fc-3",
        "conv3-8 ln gelu maxpool2 conv3-3 gap",
    ],
)
def test_muon_trains_every_kind_of_layer(text):
    module = net(text)
    before = [p.detach().clone() for p in module.parameters()]
    losses = train(module, make_optimizers(module, choice("muon"), batch_size=24), 30)
    assert losses[-1] < 0.7 * losses[0]
    assert all(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_a_state_of_another_net_is_refused():
    module = net()
    optimizers = make_optimizers(module, choice("momentum"), batch_size=24)
    train(module, optimizers, 1)
    state = optimizers.state_dict()
    other = make_optimizers(net("fc-3"), choice("momentum"), batch_size=24)
    with pytest.raises(ValueError, match="unknown parameters: layers.bn1.bias"):
        other.load_state_dict(state)
    key = "layers.bn1.bias"
    state["memory"][key] = {"momentum_buffer": torch.zeros(5)}
    with pytest.raises(ValueError, match=r"shape \(5,\) for a parameter of \(8,\)"):
        optimizers.load_state_dict(state)


def test_filters_without_normalisation_move_at_a_quarter():
    torch.manual_seed(0)
    text = "conv3-8 relu conv3-8 bn relu (conv3-8 ln relu conv3-8 bn + skip) relu fc-9 fc-3"
    module = parse_net(text).build((8, 8, 3))
    filters, _ = _muon_groups(module, choice("muon"), 10)
    names = {parameter: name for name, parameter in module.named_parameters()}
    paces = {names[bank.weight].split(".")[-2]: bank.pace for bank in filters}
    assert paces == {"conv1": 0.25, "conv2": 1, "conv3": 1, "conv4": 1, "fc1": 0.25}


@pytest.mark.parametrize("depth", [2, 10])
def test_muon_trains_plain_nets_deep_or_not(depth):
    module = net("conv3-16 relu " * depth + "maxpool9 fc-16 relu fc-3")
    losses = train(module, make_optimizers(module, Optimizer(), batch_size=24), 60)
    assert losses[-1] < 0.5 * losses[0]


def after_one_step(name: str, body_rate: float) -> dict[str, Tensor]:
    module = net()
    train(module, make_optimizers(module, choice(name), batch_size=24, body_rate=body_rate), 1)
    return {key: value.detach() for key, value in module.named_parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_the_rate_of_the_body_scales_every_step_but_the_heads(name):
    whole, half, quarter = (after_one_step(name, rate) for rate in (1.0, 0.5, 0.25))
    for key, weight in whole.items():
        if key.startswith("layers.fc2"):
            assert torch.equal(weight, quarter[key])
            continue
        assert not torch.equal(weight, half[key]), key
        steps = weight - half[key], 2 * (half[key] - quarter[key])
        torch.testing.assert_close(*steps, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_gradient_is_neither_moved_nor_remembered(name):
    module = net()
    for key, parameter in module.named_parameters():
        parameter.requires_grad_("fc" in key)
    before = {key: value.clone() for key, value in module.named_parameters()}
    optimizers = make_optimizers(module, choice(name), batch_size=24)
    train(module, optimizers, 3)
    for key, parameter in module.named_parameters():
        assert torch.equal(parameter, before[key]) == ("fc" not in key), key
    assert all("fc" in key for key in optimizers.state_dict()["memory"])
    assert not optimizers.state_dict()["frozen"]
