import gzip
import hashlib
import io
import os
import struct
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from striate.data import find_named_sets, load_data, named_sets
from striate.data.download import RemoteFile
from striate.data.sources import named as module
from striate.data.sources.named import NamedSet, locate, read_named
from striate.errors import DataError

needs_data = pytest.mark.skipif(not os.environ.get("STRIATE_DATA"), reason="STRIATE_DATA not set")


def folder_of(name: str) -> Path:
    folder = Path(os.environ.get("STRIATE_DATA", "/nowhere")) / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not in STRIATE_DATA")
    return folder


@pytest.mark.parametrize("elsewhere", [False, True])
def test_digits_come_with_scikit_learn(elsewhere, monkeypatch) -> None:
    if elsewhere:
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    data = load_data("digits")
    digits = load_digits()
    assert np.array_equal(data.labels, digits.target)
    assert np.abs(data.images[..., 0] / 255 * 16 - digits.images).max() < 0.05
    assert data.images.shape == (1797, 8, 8, 1)
    assert data.images.max() == 255
    assert data.mirror is False
    assert data.classes == tuple("0123456789")


@needs_data
@pytest.mark.parametrize(
    ("name", "count", "mirror", "mean"),
    [
        ("mnist", 70_000, False, [0.1306604762738429]),
        ("fashion-mnist", 70_000, True, [0.28604063146254594]),
        ("cifar10", 60_000, True, [0.4913996786152285, 0.4821584083946074, 0.4465309144454644]),
    ],
)
def test_real_sets_load_in_a_moment(name: str, count: int, mirror: bool, mean: list[float]) -> None:
    """The means over the training images are those that everyone knows."""
    folder_of(name)
    start = time.process_time()
    data = load_data(name)
    assert data.manifest_hash
    assert time.process_time() - start < 6  # a second or two where nothing else runs
    assert len(data) == count
    assert len(data.split(validation=0).indices(2)) == 10_000
    assert data.mirror is mirror
    np.testing.assert_allclose(data.split(validation=0).preprocessing.mean, mean, rtol=1e-6)


@needs_data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_known_hashes_are_those_of_the_files(name: str) -> None:
    folder = folder_of(name)
    (found,) = [entry for entry in named_sets() if entry.name == name]
    for remote in found.files:
        assert hashlib.sha256((folder / remote.name).read_bytes()).hexdigest() == remote.sha256


def idx(array: np.ndarray) -> bytes:
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(bytes((0, 0, 8, array.ndim)) + shape + array.tobytes())


def small_set(home: Path) -> NamedSet:
    """A set in MNIST's layout whose home is a folder of this machine."""
    home.mkdir()
    files = []
    for part in ("train", "t10k"):
        images = np.random.default_rng(0).integers(0, 256, (4, 3, 3), np.uint8)
        labels = np.array([0, 1, 0, 1], np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = home / f"{part}-{name}-ubyte.gz"
            path.write_bytes(idx(array))
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            files.append(RemoteFile(path.as_uri(), path.name, sha256))
    needs = tuple(remote.name.removesuffix(".gz") for remote in files)
    return NamedSet("small", "test", 8, (3, 3, 1), 2, "idx", needs=needs, files=tuple(files))


def test_a_set_is_downloaded_once_into_the_cache(tmp_path: Path) -> None:
    small = small_set(tmp_path / "home")
    assert locate(small) is None
    calls: list[tuple[int, int]] = []
    first = read_named(small, progress=lambda *call: calls.append(call))
    assert calls == sorted(calls)
    assert calls[-1] == (8, 8)
    for path in (tmp_path / "home").iterdir():
        path.unlink()
    again = read_named(small)
    np.testing.assert_array_equal(first.images, again.images)
    assert locate(small) == tmp_path / "cache" / "datasets" / "small"


def test_a_download_cut_off_between_files_goes_on(tmp_path: Path) -> None:
    small = small_set(tmp_path / "home")
    last = tmp_path / "home" / "t10k-labels-idx1-ubyte.gz"
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(DataError, match="cannot be downloaded"):
        read_named(small)
    assert locate(small) is None
    last.write_bytes(content)
    assert len(read_named(small).labels) == 8


NEEDS = ("data_batch_1.bin", "test_batch.bin")


def cifar_archive(path: Path) -> RemoteFile:
    records = np.zeros((4, 3073), np.uint8)
    records[:, 0] = [0, 1, 0, 1]
    files = {f"data_batch_{k}.bin": records.tobytes() for k in range(1, 6)}
    files |= {"test_batch.bin": records.tobytes(), "batches.meta.txt": b"cat\ndog\n"}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return RemoteFile(path.as_uri(), path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def test_an_archive_in_the_data_folder_is_unpacked_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "data"))
    remote = cifar_archive(tmp_path / "data" / "cifar-10-binary.tar.gz")
    small = NamedSet("cifar10", "test", 24, (32, 32, 3), 2, "cifar", NEEDS, files=(remote,))
    assert read_named(small).classes == ("cat", "dog")
    assert locate(small) == tmp_path / "cache" / "datasets" / "cifar10"
    assert (tmp_path / "data" / "cifar-10-binary.tar.gz").is_file()


def test_an_archive_is_downloaded_unpacked_and_removed(tmp_path: Path) -> None:
    remote = cifar_archive(tmp_path / "a.tar.gz")
    small = NamedSet("cifar10", "test", 24, (32, 32, 3), 2, "cifar", NEEDS, files=(remote,))
    assert len(read_named(small).labels) == 24
    assert not list((tmp_path / "cache" / "datasets" / "cifar10").glob("*.gz"))


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean cifar10"):
        load_data("cifar-10")
    with pytest.raises(DataError, match="the names are digits, mnist"):
        load_data("zzz")


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no folder in it holds images"):
        load_data("mnist")


def test_all_sets_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    found = {entry.named.name: entry for entry in find_named_sets()}
    assert list(found) == ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"]
    assert found["digits"].where == "in scikit-learn"
    assert found["cifar10"].where == "downloaded when used"
    assert found["cifar10"].to_json()["path"] is None
    assert all(len(remote.sha256) == 64 for entry in module.named_sets() for remote in entry.files)
