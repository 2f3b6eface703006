"""Large memory maps: read a part at a time, and let go again."""

import ctypes
import mmap
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import memory
from striate.data.augment import Augmentation
from striate.data.batches import Batches
from striate.data.memory import Reader, release_pages

IMAGES = np.random.default_rng(0).integers(0, 256, (600, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "images.npy"
    np.save(path, IMAGES)
    return path


@pytest.fixture
def mapped(stored):
    return np.load(stored, mmap_mode="r")


@pytest.fixture
def small_steps(monkeypatch):
    """As if memory were small: seven images at a time."""
    monkeypatch.setattr(memory, "MOST_HELD", 7 * 64 * 64 * 3)
    monkeypatch.setattr(memory, "GRAIN", 1)


def held_bytes(path):
    """What this process holds of a file, from the system's own list."""
    held, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.partition(" ")[0]:
            inside = line.endswith(str(path))
        elif inside and line.startswith("Rss:"):
            held += int(line.split()[1]) * 1024
    return held


needs_smaps = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")


@needs_smaps
@pytest.mark.parametrize(
    "view",
    [
        lambda images: images,
        np.ascontiguousarray,
        lambda images: images[3:].reshape(597, -1),
        lambda images: np.broadcast_to(images[..., :1], images.shape),
    ],
    ids=["map", "array", "part", "broadcast"],
)
def test_pages_of_a_map_or_of_a_view_are_let_go(view, mapped, stored):
    seen = view(mapped)
    assert seen.sum() > 0
    assert held_bytes(stored) > IMAGES.nbytes // 2
    release_pages(seen)
    assert held_bytes(stored) == 0
    assert np.array_equal(mapped, IMAGES)


def test_an_array_in_memory_is_left_alone():
    images = IMAGES.copy()
    release_pages(images)
    assert np.array_equal(images, IMAGES)


def test_changes_that_only_memory_holds_are_kept(stored):
    private = np.load(stored, mmap_mode="c")
    private[5] = 77
    release_pages(private)
    release_pages(private[5:6])
    assert (private[5] == 77).all()


@needs_smaps
def test_a_reader_holds_a_bounded_part(mapped, stored, small_steps):
    reader = Reader(mapped)
    for start in range(0, 600, 5):
        assert np.array_equal(reader.take(np.arange(start, start + 5)), IMAGES[start : start + 5])
    assert held_bytes(stored) < IMAGES.nbytes // 4


@pytest.mark.parametrize("most", [1, 7, 600, 10_000])
@given(places=st.lists(st.integers(0, 599), max_size=40))
@settings(deadline=None)
def test_what_is_read_is_what_is_there(most, places, stored):
    reader = Reader(np.load(stored, mmap_mode="r"))
    reader._most = most
    chosen = np.array(places, np.int64)
    assert np.array_equal(reader.take(chosen), IMAGES[chosen])
    assert np.array_equal(np.concatenate(list(reader.portions(chosen))), chosen)


def test_a_small_map_and_an_array_are_read_at_once(mapped):
    for images in (mapped, IMAGES):
        assert [part.tolist() for part in Reader(images).portions(np.arange(600))] == [
            list(range(600))
        ]


@pytest.mark.parametrize("kernels", [True, False])
def test_batches_of_a_large_map_are_those_of_the_array(kernels, mapped, small_steps):
    augment = Augmentation(flip="alternating", translate=2, cutout=5)
    made = [
        Batches(
            images,
            np.arange(600) % 3,
            np.arange(600),
            batch_size=20,
            seed=1,
            mean=(0.5,) * 3,
            std=(0.2,) * 3,
            augment=augment,
            kernels=kernels,
        )
        for images in (IMAGES, mapped)
    ]
    for whole, part in zip(*(batches.epoch(1) for batches in made), strict=True):
        assert torch.equal(whole.images, part.images)
        assert torch.equal(whole.indices, part.indices)


def resident(path, place, size):
    """Whether the system holds an image of the file, of `size` bytes, in memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as whole:
        address = np.frombuffer(whole, np.uint8).ctypes.data
        start = (128 + place * size) // mmap.PAGESIZE * mmap.PAGESIZE
        length = 128 + (place + 1) * size - start
        pages = np.zeros(-(-length // mmap.PAGESIZE), np.uint8)
        assert libc.mincore(ctypes.c_void_p(address + start), ctypes.c_size_t(length),
                            ctypes.c_void_p(pages.ctypes.data)) == 0  # fmt: skip
    return bool((pages & 1).all())


@needs_smaps
def test_what_is_expected_is_read_meanwhile(tmp_path, small_steps):
    path = tmp_path / "images.npy"
    np.save(path, IMAGES)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    size = IMAGES[0].nbytes
    if resident(path, 300, size):
        pytest.skip("this file system keeps its files in memory")
    Reader(np.load(path, mmap_mode="r")).expect(np.array([300, 7]))
    end = time.monotonic() + 10
    while not (resident(path, 300, size) and resident(path, 7, size)):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not resident(path, 599, size)


def test_nothing_is_asked_for_of_an_array_or_a_small_map(mapped):
    Reader(IMAGES).expect(np.arange(4))
    Reader(mapped).expect(np.arange(4))


def test_each_next_batch_is_expected(mapped, monkeypatch):
    expected = []
    monkeypatch.setattr(Reader, "expect", lambda self, places: expected.append(places.tolist()))
    batches = Batches(
        mapped,
        np.zeros(600, np.int64),
        np.arange(600),
        batch_size=250,
        seed=0,
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
    )
    seen = [batch.indices.tolist() for batch in batches.epoch(0)]
    assert len(seen) == 2  # 100 images are left over, and not asked for
    assert expected == seen[1:]
