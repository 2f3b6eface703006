"""The data sets that have a name: embedded, found on this machine, or downloaded.

Looked for in `$STRIATE_DATA`, then in the cache folder, then at their public homes. What is
downloaded is checked by SHA-256.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from striate.data.cache import cache_folder
from striate.data.download import Progress, RemoteFile, fetch, unpack_members
from striate.data.names import escape_name
from striate.data.records import ArraySource
from striate.data.sources.arrays import read_arrays
from striate.data.sources.cifar import read_cifar_folder
from striate.data.sources.idx import read_idx_folder

_MNIST_HOME = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION_HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/"
_FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Boot"),
)


@dataclass(frozen=True)
class NamedSet:
    """A data set that Striate knows by name.

    Args:
        name: As given on the command line.
        title: One line for people.
        images: How many, training and test together.
        size: (H, W, C).
        classes: How many.
        layout: How its files are read.
        needs: The files that a folder must hold, gzipped or not.
        folders: Where they may lie below `$STRIATE_DATA`, besides a folder of its name.
        files: What is downloaded.
        class_names: Where the files do not hold them.
        mirror: Whether a mirrored image keeps its class.
    """

    name: str
    title: str
    images: int
    size: tuple[int, int, int]
    classes: int
    layout: Literal["digits", "idx", "cifar"]
    needs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    files: tuple[RemoteFile, ...] = ()
    class_names: tuple[str, ...] | None = None
    mirror: bool = False


_IDX_NEEDS = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
_CIFAR10_NEEDS = (*(f"data_batch_{batch}.bin" for batch in range(1, 6)), "test_batch.bin")


def _idx_files(home: str, hashes: dict[str, str]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(f"{home}{part}-ubyte.gz", f"{part}-ubyte.gz", sha256)
        for part, sha256 in hashes.items()
    )


_MNIST_HASHES = {
    "train-images-idx3": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_FASHION_HASHES = {
    "train-images-idx3": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
_CIFAR10_HASH = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_CIFAR100_HASH = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"

_SETS = (
    NamedSet("digits", "handwritten digits", 1797, (8, 8, 1), 10, "digits"),
    NamedSet(
        "mnist",
        "handwritten digits",
        70_000,
        (28, 28, 1),
        10,
        "idx",
        needs=_IDX_NEEDS,
        files=_idx_files(_MNIST_HOME, _MNIST_HASHES),
        class_names=tuple("0123456789"),
    ),
    NamedSet(
        "fashion-mnist",
        "articles of clothing",
        70_000,
        (28, 28, 1),
        10,
        "idx",
        needs=_IDX_NEEDS,
        files=_idx_files(_FASHION_HOME, _FASHION_HASHES),
        class_names=_FASHION_CLASSES,
        mirror=True,
    ),
    NamedSet(
        "cifar10",
        "small photographs",
        60_000,
        (32, 32, 3),
        10,
        "cifar",
        needs=(*_CIFAR10_NEEDS, "batches.meta.txt"),
        folders=("cifar10/cifar-10-batches-bin", "cifar-10-batches-bin"),
        files=(
            RemoteFile(
                f"{_CIFAR_HOME}cifar-10-binary.tar.gz", "cifar-10-binary.tar.gz", _CIFAR10_HASH
            ),
        ),
        mirror=True,
    ),
    NamedSet(
        "cifar100",
        "small photographs",
        60_000,
        (32, 32, 3),
        100,
        "cifar",
        needs=("train.bin", "test.bin", "fine_label_names.txt"),
        folders=("cifar100/cifar-100-binary", "cifar-100-binary"),
        files=(
            RemoteFile(
                f"{_CIFAR_HOME}cifar-100-binary.tar.gz", "cifar-100-binary.tar.gz", _CIFAR100_HASH
            ),
        ),
        mirror=True,
    ),
)


def named_sets() -> tuple[NamedSet, ...]:
    """The data sets that `load_data` takes by name."""
    return _SETS


@dataclass(frozen=True)
class FoundSet:
    """A named set and where this machine has it; `path` is None where it must be downloaded."""

    named: NamedSet
    path: Path | None

    @property
    def where(self) -> str:
        """Where its images come from, for people."""
        if self.named.layout == "digits":
            return "in scikit-learn"
        if self.path is not None:
            return escape_name(str(self.path))
        return "downloaded when used"

    def to_json(self) -> dict[str, object]:
        """The entry of `datasets --json`."""
        return {
            "name": self.named.name,
            "title": self.named.title,
            "images": self.named.images,
            "size": list(self.named.size),
            "classes": self.named.classes,
            "path": None if self.path is None else escape_name(str(self.path)),
            "downloads": [file.url for file in self.named.files],
        }


def find_named_sets(cache: Path | None = None) -> tuple[FoundSet, ...]:
    """Every named set, and where this machine has it."""
    return tuple(FoundSet(named, locate(named, cache)) for named in _SETS)


def locate(named: NamedSet, cache: Path | None = None) -> Path | None:
    """The folder or archive of a named set on this machine, or None."""
    for folder in _candidates(named, cache):
        if folder.is_dir() and _holds(named, folder):
            return folder
    return next((path for path in _archives(named) if path.is_file()), None)


def read_named(
    named: NamedSet, *, cache: Path | None = None, progress: Progress | None = None
) -> ArraySource:
    """Read a named set; download it first where this machine does not have it.

    Raises:
        DataError: If it cannot be had, or a file is not what it should be.
        ResourceError: If the disk is full.
    """
    if named.layout == "digits":
        return _read_digits(named)
    found = locate(named, cache)
    if found is None or found.is_file():
        found = _obtain(named, found, cache_folder(cache) / "datasets" / named.name, progress)
    return _READERS[named.layout](named, found)


def _obtain(named: NamedSet, archive: Path | None, folder: Path, progress: Progress | None) -> Path:
    """Bring the files of a set into the cache folder: from an archive, or from its home."""
    for place, remote in enumerate(named.files):
        share = _share_of(progress, named.images, place, len(named.files))
        source = archive or fetch(remote, folder, progress=share)
        if remote.name.endswith(".tar.gz"):
            unpack_members(source, folder, remote.sha256, suffixes=(".bin", ".txt"))
            if archive is None:
                source.unlink()
    return folder


def _share_of(progress: Progress | None, images: int, place: int, files: int) -> Progress | None:
    """Count the bytes of one file of several as the images that they stand for."""
    if progress is None:
        return None
    return lambda done, total: progress(
        int(images * (place + done / max(done, total)) / files), images
    )


def _candidates(named: NamedSet, cache: Path | None) -> list[Path]:
    folders = [cache_folder(cache) / "datasets" / named.name]
    given = os.environ.get("STRIATE_DATA")
    if given:
        below = (named.name, *named.folders)
        folders = [*(Path(given) / folder for folder in below), *folders]
    return folders


def _archives(named: NamedSet) -> list[Path]:
    given = os.environ.get("STRIATE_DATA")
    if not given or named.layout != "cifar":
        return []
    return [Path(given) / below / file.name for below in ("", named.name) for file in named.files]


def _holds(named: NamedSet, folder: Path) -> bool:
    """Whether all files of a set are there: a download may have been cut off between two."""
    # Some write train-images.idx3-ubyte for train-images-idx3-ubyte.
    there = {path.name.removesuffix(".gz").replace(".idx", "-idx") for path in folder.iterdir()}
    return there.issuperset(named.needs)


def _read_digits(named: NamedSet) -> ArraySource:
    rows = _rows_of_digits()
    images = np.rint(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # levels 0..16
    labels = rows[:, -1].astype(np.int64)
    return read_arrays({"train": (images, labels)}, name=named.name, mirror=named.mirror)


def _rows_of_digits() -> NDArray[np.float64]:
    """64 levels and the label of each; from scikit-learn's file, as to import it takes seconds."""
    scikit_learn = find_spec("sklearn")
    for folder in (scikit_learn and scikit_learn.submodule_search_locations) or ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits  # noqa: PLC0415 - where a release keeps them elsewhere

    digits = load_digits()
    return np.column_stack((digits.data, digits.target))


def _read_idx(named: NamedSet, folder: Path) -> ArraySource:
    return read_idx_folder(folder, name=named.name, classes=named.class_names, mirror=named.mirror)


def _read_cifar(named: NamedSet, folder: Path) -> ArraySource:
    return read_cifar_folder(folder, name=named.name, mirror=named.mirror)


_READERS: dict[str, Callable[[NamedSet, Path], ArraySource]] = {
    "idx": _read_idx,
    "cifar": _read_cifar,
}
