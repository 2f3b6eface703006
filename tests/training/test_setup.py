"""Putting a training together."""

import dataclasses

import numpy as np
import pytest
import torch

from striate.data import TEST, TRAIN, VALIDATION
from striate.errors import DataError
from striate.evaluation import evaluate_logits, view_logits
from striate.model import Model
from striate.nets.fused import FusedChain


def weights(state):
    return torch.cat([p.detach().flatten().clone() for p in state.module.parameters()])


def test_the_first_weights_are_a_function_of_the_seed_and_of_the_start(prepared):
    (task, first), (_, again), (_, other) = (prepared(seed=s) for s in (1, 1, 2))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))
    task.initialize(first, 1)
    assert not torch.equal(weights(first), weights(again))
    task.initialize(first, 0)
    assert torch.equal(weights(first), weights(again))


def test_a_new_start_forgets_optimiser_patience_and_sums(prepared):
    task, state = prepared(stop__patience=3, average__name="ema")
    state.patience.observe(0.1)
    state.patience.observe(0.2)
    state.sums.images = 5
    before = state.optimizers, state.average
    task.initialize(state, 1)
    assert (state.patience.best, state.patience.worse) == (float("inf"), 0)
    assert state.sums.images == 0
    assert state.optimizers is not before[0]
    assert state.average is not before[1]


def test_validation_is_the_evaluation_of_the_weights(prepared, split_data):
    task, state = prepared()
    loss, accuracy = task.validate(state)
    model = Model(state.module.net, state.module, split_data.classes, split_data.preprocessing)
    places = split_data.indices(VALIDATION)
    logits = view_logits(model, split_data.images, indices=places)
    expected = evaluate_logits(
        logits, split_data.labels[places], split_data.classes, views=1, temperature=1.0
    )
    assert loss == pytest.approx(expected.loss, rel=1e-5)
    assert accuracy == expected.accuracy


def test_validation_changes_nothing(prepared):
    task, state = prepared(net="conv3-4 bn relu maxpool2 dropout0.5 fc-3")
    before = {name: t.clone() for name, t in state.module.state_dict().items()}
    assert task.validate(state) == task.validate(state)
    assert all(torch.equal(before[name], t) for name, t in state.module.state_dict().items())


def test_without_validation_images_there_is_nothing_to_validate(prepared, split_data):
    splits = np.where(split_data.splits == VALIDATION, 0, split_data.splits).astype(np.int8)
    task, _ = prepared(data=dataclasses.replace(split_data, splits=splits))
    assert task.validate is None


def test_training_images_are_needed(prepared, split_data):
    splits = np.full(len(split_data), TEST, np.int8)
    with pytest.raises(DataError, match="has no training images"):
        prepared(data=dataclasses.replace(split_data, splits=splits))


def test_the_identity_names_all_that_decides_the_weights(prepared, split_data):
    identity = prepared()[0].identity
    assert {"data", "split", "classes", "net", "seed", "precision"} <= identity.keys()
    assert {"recipe.optimizer", "recipe.epochs", "recipe.augment"} <= identity.keys()
    moved = split_data.splits.copy()
    moved[split_data.indices(TEST)[0]] = 0
    other = prepared(data=dataclasses.replace(split_data, splits=moved))[0].identity
    assert [key for key in identity if identity[key] != other[key]] == ["split"]


@pytest.mark.parametrize(("kernels", "used"), [("on", True), ("off", False)])
def test_the_recipe_says_whether_compiled_operators_may_run(kernels, used, prepared):
    task, state = prepared(net="conv3-4 bn relu maxpool2 fc-3", kernels=kernels)
    assert task.batches.kernels == used
    for start in (0, 1):
        task.initialize(state, start)
        chains = [part for part in state.module.modules() if isinstance(part, FusedChain)]
        assert [chain.fused for chain in chains] == [used] * len(chains) != []
        assert state.optimizers._muon.kernels == used


def test_class_weights_follow_the_training_images(prepared, split_data):
    keep = (split_data.labels != 0) | (np.arange(len(split_data)) % 4 == 0)
    splits = np.where(keep, split_data.splits, TEST).astype(np.int8)
    uneven = dataclasses.replace(split_data, splits=splits)
    plain, balanced = (
        prepared(data=uneven, loss={"class_weights": name})[0].loss for name in ("none", "balanced")
    )
    counts = np.bincount(uneven.labels[uneven.indices(TRAIN)], minlength=3)
    assert counts[0] < counts[1]
    logits = torch.tensor([[0.0, 5.0, 1.0]])
    for label, count in enumerate(counts.tolist()):
        ratio = balanced(logits, torch.tensor([label])) / plain(logits, torch.tensor([label]))
        assert float(ratio) == pytest.approx(counts.sum() / (3 * count))
