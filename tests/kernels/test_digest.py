"""The compiled digests, against hashlib, byte for byte."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import hashing, memory
from striate.data.hashing import digest_files, digest_images
from striate.kernels import DIGEST_BYTES, digest_messages, load_library

pytestmark = pytest.mark.skipif(load_library() is None, reason="the operators are not compiled")


def by_hashlib(messages: list[bytes]) -> bytes:
    return b"".join(hashlib.blake2b(m, digest_size=DIGEST_BYTES).digest() for m in messages)


@settings(deadline=None, max_examples=200)
@given(
    lengths=st.lists(
        st.integers(0, 1000) | st.sampled_from([0, 1, 127, 128, 129, 256]), max_size=40
    ),
    prefix=st.integers(0, 300),
    threads=st.integers(1, 5),
)
def test_messages_of_any_lengths_have_the_digests_of_hashlib(processor, lengths, prefix, threads):
    generator = np.random.default_rng(0)
    before = generator.bytes(prefix)
    memory = np.frombuffer(generator.bytes(sum(lengths) + 1), np.uint8)
    ends = np.cumsum(lengths, dtype=np.int64)
    starts = ends - np.array(lengths, np.int64)
    messages = [
        before + memory[start:end].tobytes() for start, end in zip(starts, ends, strict=True)
    ]
    found = digest_messages(
        memory.ctypes.data + starts, ends - starts, prefix=before, threads=threads
    )
    assert found.tobytes() == by_hashlib(messages)


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_files_have_the_digests_of_hashlib(processor, monkeypatch, count):
    monkeypatch.setattr(hashing, "can_digest", lambda: True)
    files = [np.random.default_rng(n).bytes(1000 * n) for n in range(count)]
    assert digest_files(files) == by_hashlib(files)


def test_a_large_map_is_hashed_in_parts(processor, monkeypatch, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (50, 7, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    monkeypatch.setattr(hashing, "can_digest", lambda: True)
    monkeypatch.setattr(memory, "MOST_HELD", 7 * images[0].nbytes)
    monkeypatch.setattr(memory, "GRAIN", 1)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert len(list(memory.Reader(mapped).portions(np.arange(50)))) == 8
    np.testing.assert_array_equal(digest_images(mapped), digest_images(images))


@pytest.mark.parametrize("layout", ["as it is", "every second", "mirrored", "read-only"])
def test_images_have_the_same_digests_compiled_or_not(processor, monkeypatch, layout):
    images = np.random.default_rng(0).integers(0, 256, (21, 7, 5, 3), dtype=np.uint8)
    if layout == "every second":
        images = images[::2]
    elif layout == "mirrored":
        images = images[:, :, ::-1]
    elif layout == "read-only":
        images.flags.writeable = False
    monkeypatch.setattr(hashing, "can_digest", lambda: True)
    compiled = digest_images(images)
    monkeypatch.setattr(hashing, "can_digest", lambda: False)
    np.testing.assert_array_equal(compiled, digest_images(images))
    expected = by_hashlib([b"(7, 5, 3)" + image.tobytes() for image in images])
    assert compiled.tobytes() == expected
