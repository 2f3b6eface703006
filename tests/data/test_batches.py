import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.augment import Augmentation
from striate.data.batches import Batch, Batches
from striate.data.normalise import to_tensor
from striate.errors import DataError, UsageError

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
FAST = Augmentation(flip="alternating", translate=2)
LABELS = np.arange(60) % 7
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 6, 3), dtype=np.uint8)


def make(**changes: object) -> Batches:
    settings: dict[str, object] = {
        "images": IMAGES,
        "labels": LABELS,
        "indices": np.arange(5, 60),
        "batch_size": 10,
        "seed": 3,
        "mean": MEAN,
        "std": STD,
        "augment": FAST,
    }
    return Batches(**(settings | changes))


def same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.images, other.images)
        and torch.equal(one.labels, other.labels)
        and torch.equal(one.indices, other.indices)
    )


def test_batches_hold_images_with_their_labels():
    plain = make(augment=Augmentation())
    for batch in plain.epoch(0):
        expected = to_tensor(torch.from_numpy(IMAGES)[batch.indices], MEAN, STD)
        assert torch.equal(batch.images, expected)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.tolist() == LABELS[batch.indices].tolist()
        assert batch.labels.dtype == batch.indices.dtype == torch.int64


def test_every_batch_is_full_and_the_images_left_over_differ_by_epoch():
    batches = make()
    assert batches.steps == 5
    left_over = set()
    for epoch in range(4):
        seen = torch.cat([batch.indices for batch in batches.epoch(epoch)]).tolist()
        assert len(seen) == len(set(seen)) == 50
        assert set(seen) < set(range(5, 60))
        left_over.add(frozenset(set(range(5, 60)) - set(seen)))
    assert len(left_over) == 4


def test_fewer_images_than_a_batch_make_one_batch_of_all():
    batches = make(indices=np.arange(7))
    assert batches.steps == 1
    (batch,) = batches.epoch(2)
    assert sorted(batch.indices.tolist()) == list(range(7))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 6), st.integers(0, 5))
def test_an_epoch_begun_in_the_middle_goes_on_as_the_whole_one(epoch, start):
    whole = list(make().epoch(epoch))[start:]
    rest = list(make().epoch(epoch, start=start))
    assert len(whole) == len(rest) == 5 - start
    assert all(same(one, other) for one, other in zip(whole, rest, strict=True))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 10), st.integers(0, 3))
def test_processes_see_together_what_one_would(world, epoch):
    ranks = [make(rank=rank, world=world).epoch(epoch) for rank in range(world)]
    for whole, *parts in zip(make().epoch(epoch), *ranks, strict=True):
        joined = Batch(
            *(
                torch.cat([getattr(part, name) for part in parts])
                for name in ("images", "labels", "indices")
            )
        )
        assert same(whole, joined)
        sizes = [len(part.labels) for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_the_order_does_not_depend_on_how_the_indices_are_listed():
    forward, backward = make(), make(indices=np.arange(5, 60)[::-1])
    assert all(same(a, b) for a, b in zip(forward.epoch(1), backward.epoch(1), strict=True))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {
        tuple(next(make(seed=seed).epoch(epoch)).indices.tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_a_memory_map_gives_what_an_array_gives(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r", allow_pickle=False)
    batches = make(images=mapped)
    assert np.shares_memory(batches.images, mapped)
    assert all(same(a, b) for a, b in zip(batches.epoch(0), make().epoch(0), strict=True))


def test_images_that_are_a_strided_view_are_read_right():
    wide = np.random.default_rng(0).integers(0, 256, (60, 8, 12, 3), dtype=np.uint8)
    view, copy = wide[:, :, ::2], wide[:, :, ::2].copy()
    pairs = zip(make(images=view).epoch(0), make(images=copy).epoch(0), strict=True)
    assert all(same(a, b) for a, b in pairs)


@pytest.mark.parametrize("kernels", [True, False])
def test_the_floating_type_is_chosen(kernels):
    batch = next(make(dtype=torch.bfloat16, kernels=kernels).epoch(0))
    assert batch.images.dtype == torch.bfloat16
    assert torch.equal(batch.images, next(make().epoch(0)).images.bfloat16())


def test_compiled_or_not_the_batches_are_the_same():
    pairs = zip(make().epoch(1), make(kernels=False).epoch(1), strict=True)
    assert all(same(compiled, by_pytorch) for compiled, by_pytorch in pairs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_batches_on_a_gpu_hold_what_they_hold_on_the_cpu():
    everything = Augmentation(flip="random", translate=2, crop=0.5, rotate=9, hue=0.1, cutout=2)
    on_gpu = make(augment=everything, device=torch.device("cuda"))
    for here, there in zip(make(augment=everything).epoch(0), on_gpu.epoch(0), strict=True):
        assert there.images.device.type == there.labels.device.type == "cuda"
        torch.testing.assert_close(there.images.cpu(), here.images, atol=1e-4, rtol=1e-4)
        assert torch.equal(there.labels.cpu(), here.labels)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"labels": LABELS[:9]}, DataError, r"60 images have labels of shape \(9,\)"),
        ({"indices": np.array([], dtype=np.int64)}, DataError, "no images to make batches of"),
        ({"indices": np.array([3, 60])}, DataError, "indices 3 to 60 do not lie within 60 images"),
        ({"indices": np.array([-1, 4])}, DataError, "indices -1 to 4"),
        ({"images": IMAGES[..., 0]}, DataError, r"uint8 \(N, H, W, C\)"),
        ({"mean": (0.5,)}, DataError, "do not fit images of 3 channels"),
        ({"batch_size": 0}, UsageError, "batch of 0 images"),
        ({"rank": 2, "world": 2}, UsageError, "process 2 of 2"),
        ({"batch_size": 3, "world": 4}, UsageError, "larger batches or fewer processes"),
    ],
)
def test_what_does_not_fit_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        make(**changes)
