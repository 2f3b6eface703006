"""What every source must do, checked over all of them with the same 24 images of 3 classes."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import TEST, TRAIN, UNASSIGNED, VALIDATION, Data, check_data, load_data

CLASSES = ("ant", "bee", "cow")
LABELS = np.arange(24) % 3
COLOUR = np.random.default_rng(7).integers(0, 256, (24, 32, 32, 3), np.uint8)
GREY = COLOUR[..., :1]


def write_pictures(root: Path, place: Callable[[int], str], images: np.ndarray = COLOUR) -> Path:
    for number, pixels in enumerate(images):
        path = root / place(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.squeeze()).save(path)
    return root


def class_folders(root: Path) -> Path:
    return write_pictures(root / "photos", lambda k: f"{CLASSES[LABELS[k]]}/{k:02}.png")


def grey_folders(root: Path) -> Path:
    return write_pictures(root / "grey", lambda k: f"{CLASSES[LABELS[k]]}/{k:02}.bmp", GREY)


def split_folders(root: Path) -> Path:
    parts = ("train", "train", "valid", "test")
    return write_pictures(
        root / "split", lambda k: f"{parts[k // 6]}/{CLASSES[LABELS[k]]}/{k:02}.png"
    )


def table(root: Path, separator: str, suffix: str) -> Path:
    write_pictures(root / "pool", lambda k: f"{k:02}.png")
    rows = [("path", "label", "split", "group")]
    rows += [
        (f"pool/{k:02}.png", CLASSES[LABELS[k]], "test" if k >= 18 else "train", f"g{k // 2}")
        for k in range(24)
    ]
    path = root / f"labels{suffix}"
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def csv(root: Path) -> Path:
    return table(root, ",", ".csv")


def tsv(root: Path) -> Path:
    return table(root, "\t", ".tsv")


def npz(root: Path) -> Path:
    names = np.array(CLASSES)
    test = {"test_images": COLOUR[18:], "test_labels": LABELS[18:]}
    np.savez(root / "a.npz", images=COLOUR[:18], labels=LABELS[:18], classes=names, **test)
    return root / "a.npz"


def idx(root: Path, *, packed: bool) -> Path:
    folder = root / "idx"
    folder.mkdir()
    for part, rows in (("train", slice(0, 18)), ("t10k", slice(18, 24))):
        images, labels = GREY[rows], LABELS[rows].astype(np.uint8)
        header = struct.pack(">HBB3I", 0, 8, 3, len(images), 32, 32)
        files = {
            f"{part}-images-idx3-ubyte": header + images.tobytes(),
            f"{part}-labels-idx1-ubyte": struct.pack(">HBBI", 0, 8, 1, len(labels))
            + labels.tobytes(),
        }
        for name, content in files.items():
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def idx_gz(root: Path) -> Path:
    return idx(root, packed=True)


def idx_plain(root: Path) -> Path:
    return idx(root, packed=False)


def cifar10(root: Path) -> Path:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    records = np.hstack((LABELS[:, None], COLOUR.transpose(0, 3, 1, 2).reshape(24, -1)))
    records = records.astype(np.uint8)
    for batch in range(2):
        records[9 * batch : 9 * batch + 9].tofile(folder / f"data_batch_{batch + 1}.bin")
    records[18:].tofile(folder / "test_batch.bin")
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    return folder


def cifar100(root: Path) -> Path:
    folder = root / "cifar-100-binary"
    folder.mkdir()
    coarse = np.zeros((24, 1), np.uint8)
    pixels = COLOUR.transpose(0, 3, 1, 2).reshape(24, -1)
    records = np.hstack((coarse, LABELS[:, None], pixels)).astype(np.uint8)
    records[:18].tofile(folder / "train.bin")
    records[18:].tofile(folder / "test.bin")
    (folder / "fine_label_names.txt").write_text("\n".join(CLASSES))
    return folder


def arrays(root: Path) -> tuple[np.ndarray, ...]:
    names = np.array(CLASSES)[LABELS]
    return COLOUR[:18], names[:18], COLOUR[18:], names[18:]


SOURCES = (class_folders, grey_folders, split_folders, csv, tsv, npz, idx_gz, idx_plain)
SOURCES += (cifar10, cifar100, arrays)
UNSPLIT = (class_folders, grey_folders)
NAMELESS = (idx_gz, idx_plain)
GREYS = (grey_folders, idx_gz, idx_plain)


@pytest.fixture(params=SOURCES, ids=lambda source: source.__name__)
def source(request: pytest.FixtureRequest) -> Callable[[Path], object]:
    return request.param


@pytest.fixture
def loaded(source: Callable[[Path], object], tmp_path: Path) -> Data:
    return load_data(source(tmp_path))


def test_images_and_labels_are_those_written(source: object, loaded: Data) -> None:
    expected = GREY if source in GREYS else COLOUR
    classes = ("0", "1", "2") if source in NAMELESS else CLASSES
    assert loaded.images.dtype == np.uint8
    assert loaded.labels.dtype == np.int64
    assert loaded.classes == classes
    found = {(image.tobytes(), label) for image, label in zip(loaded.images, loaded.labels)}  # noqa: B905
    assert found == {(image.tobytes(), label) for image, label in zip(expected, LABELS)}  # noqa: B905


def test_the_splits_are_those_of_the_source(source: object, loaded: Data) -> None:
    counts = {code: len(loaded.indices(code)) for code in (UNASSIGNED, TRAIN, VALIDATION, TEST)}
    if source in UNSPLIT:
        assert counts == {UNASSIGNED: 24, TRAIN: 0, VALIDATION: 0, TEST: 0}
    elif source is split_folders:
        assert counts == {UNASSIGNED: 0, TRAIN: 12, VALIDATION: 6, TEST: 6}
    else:
        assert counts == {UNASSIGNED: 0, TRAIN: 18, VALIDATION: 0, TEST: 6}


def test_every_image_has_a_name_of_its_own_that_can_be_written(loaded: Data) -> None:
    assert len(set(loaded.names)) == len(loaded) == 24
    assert all(name.encode("utf-8").decode().isprintable() for name in loaded.names)


def test_loading_again_gives_the_same(source: Callable[[Path], object], tmp_path: Path) -> None:
    given = source(tmp_path)
    first, second = load_data(given), load_data(given)
    assert first.manifest_hash == second.manifest_hash
    assert len(first.manifest_hash) == 64
    np.testing.assert_array_equal(first.images, second.images)
    assert first.problems == second.problems


def test_the_manifest_does_not_depend_on_size_or_split(
    source: Callable[[Path], object], tmp_path: Path
) -> None:
    given = source(tmp_path)
    whole, small = load_data(given), load_data(given, size=8, resize="pad")
    assert small.images.shape[1:3] == (8, 8)
    assert small.manifest_hash == whole.manifest_hash == whole.split(seed=3).manifest_hash
    assert small.preprocessing.resize == "pad"


def test_the_split_is_complete_and_repeatable(loaded: Data) -> None:
    split = loaded.split(seed=1)
    assert split.split_counts().keys() == {"train", "validation", "test"}
    assert UNASSIGNED not in split.splits
    np.testing.assert_array_equal(split.splits, loaded.split(seed=1).splits)
    kept = loaded.splits >= VALIDATION
    np.testing.assert_array_equal(split.splits[kept], loaded.splits[kept])


def test_a_model_could_see_it(loaded: Data) -> None:
    preprocessing = loaded.split().preprocessing
    assert preprocessing.size == loaded.images.shape[1:3]
    assert preprocessing.channels == loaded.images.shape[3] == len(preprocessing.mean)


def test_the_check_knows_as_much(source: Callable[[Path], object], tmp_path: Path) -> None:
    document = check_data(source(tmp_path)).to_json()
    assert document["images"] == 24
    assert sum(document["classes"].values()) == 24
    assert {p["kind"] for p in document["problems"]} <= {"not-searched"}
