"""IDX, CIFAR and npz files that are damaged, incomplete or hostile."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from striate.data import VALIDATION, load_data
from striate.data.sources.idx import read_idx
from striate.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8)
LABELS = np.array([0, 1, 2] * 2, np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes((0, 0, 8, array.ndim)) + shape + array.tobytes()


def idx_folder(folder: Path, *parts: str, images: np.ndarray = IMAGES) -> Path:
    folder.mkdir()
    for part in parts:
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS))
    return folder


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (b"\0\0\x0d\3" + bytes(12), "no IDX file"),
        (b"\0\0\x08\3\0", "cannot be read"),
        (idx_bytes(IMAGES)[:-1], "states 120 bytes, it holds 119"),
        (idx_bytes(IMAGES) + b"x", "it holds more"),
        (b"\0\0\x08\3" + b"\xff" * 12, "more than the file can hold"),
    ],
)
def test_damaged_idx_files(tmp_path: Path, content: bytes, message: str) -> None:
    for name, stored in (("a", content), ("a.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(stored)
        with pytest.raises(DataError, match=message):
            read_idx(tmp_path / name)


def test_gzip_that_is_cut_or_none(tmp_path: Path) -> None:
    whole = gzip.compress(idx_bytes(IMAGES))
    for content in (whole[: len(whole) // 2], b"not gzip"):
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            read_idx(tmp_path / "a.gz")


def test_idx_parts_are_told_by_their_names(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "x", "emnist-letters-train", "emnist-letters-val")
    data = load_data(folder)
    assert len(data.indices(VALIDATION)) == 6


def test_idx_folders_that_lack_something(tmp_path: Path) -> None:
    lone = idx_folder(tmp_path / "a", "train")
    (lone / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="labels of these images are missing"):
        load_data(lone)
    with pytest.raises(DataError, match="no train-images"):
        load_data(idx_folder(tmp_path / "b", "t10k"))
    with pytest.raises(DataError, match="not clear which part"):
        load_data(idx_folder(tmp_path / "c", "first", "train"))


def test_idx_images_and_labels_must_match(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "a", "train", images=IMAGES[:5])
    with pytest.raises(DataError, match="5 images and 6 labels in the train part"):
        load_data(folder)


def test_idx_in_colour(tmp_path: Path) -> None:
    folder = tmp_path / "colour"
    folder.mkdir()
    colour = np.repeat(IMAGES[..., None], 3, axis=3)
    (folder / "train-images-idx4-ubyte").write_bytes(idx_bytes(colour))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS))
    assert load_data(folder).images.shape == (6, 4, 5, 3)


def cifar_folder(folder: Path, labels: list[int]) -> Path:
    folder.mkdir()
    records = np.zeros((len(labels), 3073), np.uint8)
    records[:, 0] = labels
    records.tofile(folder / "data_batch_1.bin")
    return folder


def test_cifar_without_names_and_test(tmp_path: Path) -> None:
    data = load_data(cifar_folder(tmp_path / "a", [3, 5, 3]))
    assert data.classes == ("3", "5")
    assert data.mirror is True
    assert data.split_counts() == {"unassigned": 3}


def test_cifar_files_cut_short_or_with_unknown_labels(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path / "a", [0, 1, 2])
    (folder / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"label 2 is not in 0 \.\. 1"):
        load_data(folder)
    path = folder / "data_batch_1.bin"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="cut short"):
        load_data(folder)


@pytest.mark.parametrize(
    "names",
    [
        ("images", "labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "val_images", "val_labels"),
    ],
)
def test_npz_files_of_others(tmp_path: Path, names: tuple[str, ...]) -> None:
    arrays = (IMAGES, LABELS[:, None], IMAGES, LABELS[:, None])
    np.savez_compressed(tmp_path / "a.npz", **dict(zip(names, arrays, strict=True)))
    data = load_data(tmp_path / "a.npz")
    assert len(data.split_counts()) == 2
    assert data.name == "a"


def test_npz_without_images_or_with_objects(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pictures=IMAGES)
    with pytest.raises(DataError, match="it holds pictures.*expected images and labels"):
        load_data(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", images=np.array([print], object), labels=LABELS)
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        load_data(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match="not a zip file"):
        load_data(tmp_path / "c.npz")


def test_an_npz_bomb_is_not_unpacked(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", bytes(1000))
    content = file.getvalue().replace(struct.pack("<I", 1000), struct.pack("<I", 1 << 31))
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="would unpack to"):
        load_data(tmp_path / "a.npz")


def test_an_npz_that_claims_more_than_memory(tmp_path: Path) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({1 << 50},), }}"
    array = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", array)
        archive.writestr("labels.npy", array)
    with pytest.raises(DataError, match="do not fit into memory|cannot be read"):
        load_data(tmp_path / "a.npz")
