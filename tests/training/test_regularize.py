import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import UsageError
from striate.training.regularize import Regularizer
from striate.training.sections import Regularize


def regularizer(**fields: float) -> Regularizer:
    return Regularizer(Regularize.model_validate(fields), classes=3)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3), nn.Tanh()
    )


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(30, 1, 6, 6, generator=generator), torch.arange(30) % 3


def test_nothing_asked_for_is_nothing_done():
    nothing, module = regularizer(), net()
    images, labels = batch()
    assert nothing.perturb(images, labels)[0] is images
    assert nothing.perturb(images, labels)[1] is labels
    logits = nothing.forward(module, images)
    assert torch.equal(logits, module(images))
    assert nothing.penalty(module) == 0.0
    logits.sum().backward()
    before = [p.grad.clone() for p in module.parameters()]
    nothing.clip(module)
    assert all(torch.equal(a, p.grad) for a, p in zip(before, module.parameters(), strict=True))


def test_jitter_is_gaussian_noise_of_its_deviation():
    images, labels = torch.zeros(100, 3, 10, 10), torch.zeros(100, dtype=torch.int64)
    torch.manual_seed(0)
    noisy, same = regularizer(jitter=0.3).perturb(images, labels)
    assert same is labels
    assert noisy.mean().abs() < 0.01
    assert noisy.std() == pytest.approx(0.3, rel=0.02)
    assert (noisy.abs() < 0.3).float().mean() == pytest.approx(0.683, abs=0.01)


@pytest.mark.parametrize("fields", [{"jitter": 0.1}, {"mixup": 1.0}, {"cutmix": 1.0}])
def test_perturbations_follow_pytorchs_seed(fields):
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(regularizer(**fields).perturb(*batch())[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_mixup_blends_images_and_labels_by_the_same_share():
    images = F.one_hot(torch.arange(30), 30).float()[:, None, None, :]  # an image tells which it is
    labels = torch.arange(30) % 3
    torch.manual_seed(0)
    mixed, shares = regularizer(mixup=1.0).perturb(images, labels)
    weights = mixed[:, 0, 0, :]  # (30, 30), how much of which image
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(30))
    torch.testing.assert_close(shares, weights @ F.one_hot(labels, 3).float())
    assert (weights > 0).sum(dim=1).max() == 2


def test_cutmix_pastes_a_box_and_counts_its_pixels():
    images = torch.arange(30.0)[:, None, None, None].expand(30, 2, 8, 10).contiguous()
    labels = torch.arange(30) % 3
    kept = images.clone()
    shares_of_pasted = []
    for seed in range(20):
        torch.manual_seed(seed)
        mixed, shares = regularizer(cutmix=1.0).perturb(images, labels)
        for place in range(30):
            sources, counts = mixed[place, 0].unique(return_counts=True)
            expected = (F.one_hot(labels[sources.long()], 3) * counts[:, None] / 80).sum(dim=0)
            torch.testing.assert_close(shares[place], expected)
            assert torch.equal(mixed[place, 0], mixed[place, 1])
        pasted = mixed[:, 0] != images[:, 0]
        rows, columns = pasted.any(dim=2).any(dim=0).sum(), pasted.any(dim=1).any(dim=0).sum()
        assert pasted.any(dim=0).sum() == rows * columns
        shares_of_pasted.append(float(rows * columns) / 80)
    assert torch.equal(images, kept)
    assert max(shares_of_pasted) > 0.7
    assert min(shares_of_pasted) < 0.3


def test_mixup_and_cutmix_take_turns_by_chance():
    images = torch.arange(30.0)[:, None, None, None].expand(30, 1, 8, 8).contiguous()
    blended = 0
    for seed in range(40):
        torch.manual_seed(seed)
        mixed, _ = regularizer(mixup=1.0, cutmix=1.0).perturb(images, torch.zeros(30).long())
        blended += bool((mixed != mixed.round()).any())
    assert 10 <= blended <= 30


def test_weight_penalties_are_those_of_the_deck():
    module = net()
    weights = torch.cat([module[0].weight.flatten(), module[4].weight.flatten()]).detach()
    penalty = regularizer(l1=0.01, l2=0.1).penalty(module)
    expected = 0.01 * weights.abs().sum() + 0.05 * (weights**2).sum()
    torch.testing.assert_close(penalty.detach(), expected)
    penalty.backward()
    torch.testing.assert_close(
        module[4].weight.grad,
        0.01 * module[4].weight.detach().sign() + 0.1 * module[4].weight.detach(),
    )
    assert module[4].bias.grad is None
    assert module[1].weight.grad is None


def test_activation_penalty_is_the_mean_size_of_each_activation():
    module, images = net(), batch()[0]
    chosen = regularizer(activation_l1=0.5)
    logits = chosen.forward(module, images)
    inner = module[:3](images)
    expected = 0.5 * (inner.abs().mean() + logits.abs().mean())
    torch.testing.assert_close(chosen.penalty(module), expected)
    chosen.penalty(module).backward()
    assert module[0].weight.grad.abs().sum() > 0
    assert not module[2]._forward_hooks


def test_the_activation_penalty_is_that_of_the_last_batch():
    module = net()
    chosen = regularizer(activation_l1=0.5)
    chosen.forward(module, batch()[0])
    first = float(chosen.penalty(module).detach())
    chosen.forward(module, batch()[0])
    assert float(chosen.penalty(module).detach()) == pytest.approx(first)


def test_sparse_representations_come_of_the_activation_penalty():
    def size_after_training(strength: float) -> float:
        module, (images, _) = net()[:3], batch()
        chosen = regularizer(activation_l1=strength)
        steps = torch.optim.SGD(module.parameters(), lr=0.5)
        for _ in range(30):
            steps.zero_grad()
            output = chosen.forward(module, images)
            (((output - 1) ** 2).mean() + chosen.penalty(module)).backward()
            steps.step()
        return float(module(images).detach().abs().mean())

    assert size_after_training(2.0) < 0.5 * size_after_training(0.0)


def test_a_net_without_activations_cannot_be_penalised_for_them():
    with pytest.raises(UsageError, match="has no activations"):
        regularizer(activation_l1=0.1).forward(nn.Sequential(nn.Flatten()), batch()[0])


def test_clip_bounds_the_norm_of_the_gradient():
    module = net()
    (100 * module(batch()[0]).square().sum()).backward()
    before = torch.cat([p.grad.flatten().clone() for p in module.parameters()])
    regularizer(clip_norm=0.5).clip(module)
    after = torch.cat([p.grad.flatten() for p in module.parameters()])
    assert before.norm() > 1
    assert after.norm() == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(after / after.norm(), before / before.norm())
