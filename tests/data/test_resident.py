"""Images that lie where the training is; on the CPU here, as on a GPU."""

import numpy as np
import pytest
import torch
from tests.data.test_batches import IMAGES, make, same

from striate.data import batches as batches_module
from striate.data import resident
from striate.data.augment import Augmentation, source_places
from striate.data.memory import Reader
from striate.data.pixels import gather
from striate.data.random import Draws
from striate.data.resident import ResidentImages, can_reside

CPU = torch.device("cpu")
INDICES = np.array([50, 7, 31, 8, 59, 0, 22])
EVERYTHING = Augmentation(flip="random", translate=2, crop=0.5, rotate=9, hue=0.1, cutout=2)


@pytest.fixture
def resident_on_cpu(monkeypatch):
    monkeypatch.setattr(batches_module, "can_reside", lambda device, size: True)


@pytest.mark.parametrize("augment", [Augmentation(), Augmentation(flip="random", translate=3)])
def test_pixels_are_those_that_a_gather_takes(augment):
    images = ResidentImages(Reader(IMAGES), INDICES, CPU)
    draws = Draws(seed=1, epoch=2, index=INDICES[[3, 0, 6, 5]])
    places = source_places(augment, draws, IMAGES.shape[1:3])
    expected = gather(IMAGES, draws.index, *places)
    assert images.take(draws.index, *places).numpy().tolist() == expected.tolist()


def test_a_memory_map_is_copied_in_parts(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", IMAGES)
    monkeypatch.setattr(resident, "AT_ONCE", 3 * IMAGES[0].nbytes)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    images = ResidentImages(Reader(mapped), INDICES, CPU)
    assert images.take(INDICES).numpy().tolist() == IMAGES[INDICES].tolist()


@pytest.mark.parametrize("augment", [Augmentation(), EVERYTHING])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batches_are_those_of_images_that_travel(resident_on_cpu, monkeypatch, augment, dtype):
    options = {"augment": augment, "dtype": dtype, "kernels": False, "world": 2, "rank": 1}
    of_residents = list(make(**options).epoch(3, start=1))
    monkeypatch.undo()
    travelled = list(make(**options).epoch(3, start=1))
    assert len(of_residents) == 4
    assert all(map(same, of_residents, travelled))


def test_once_copied_the_array_is_not_read_again(resident_on_cpu):
    images = IMAGES.copy()
    batches = make(images=images, kernels=False)
    expected = list(batches.epoch(1))
    images[:] = 0
    assert all(map(same, batches.epoch(1), expected))


def test_the_next_batch_is_not_asked_of_the_disk(resident_on_cpu, monkeypatch):
    asked = []
    monkeypatch.setattr(Reader, "expect", lambda _, places: asked.append(places))
    list(make(kernels=False).epoch(0))
    assert not asked
    monkeypatch.setattr(batches_module, "can_reside", can_reside)
    list(make(kernels=False).epoch(0))
    assert asked


def test_on_the_cpu_they_stay_where_they_are():
    assert not can_reside(CPU, 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_takes_what_leaves_it_room():
    gpu = torch.device("cuda")
    free, _ = torch.cuda.mem_get_info(gpu)
    assert can_reside(gpu, free // 16)
    assert not can_reside(gpu, free // 2)
