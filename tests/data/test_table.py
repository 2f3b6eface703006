from collections.abc import Callable
from pathlib import Path

import pytest

from striate.data import TEST, TRAIN, UNASSIGNED, VALIDATION, load_data
from striate.data.sources.table import read_table
from striate.errors import DataError


@pytest.fixture
def pool(make_folder: Callable) -> Path:
    return make_folder({"pool": 12}).parent / "photos"


def write(pool: Path, *lines: str, suffix: str = ".csv") -> Path:
    path = pool / f"labels{suffix}"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def rows(count: int, more: Callable[[int], str] = lambda k: "") -> list[str]:
    return [f"pool/{k:03}.png,{'xy'[k % 2]}{more(k)}" for k in range(count)]


def test_other_titles_and_marks_are_understood(pool: Path) -> None:
    lines = [row.replace(",", ";") for row in rows(4)]
    path = write(pool, "\ufeff Filename ;Class", *lines)
    assert [file.label for file in read_table(path).files] == ["x", "y", "x", "y"]


def test_splits_may_be_given_for_some(pool: Path) -> None:
    words = ["train", "", "val", "Test"]
    path = write(pool, "path,label,split", *rows(4, lambda k: f",{words[k]}"))
    assert [f.split for f in read_table(path).files] == [TRAIN, UNASSIGNED, VALIDATION, TEST]


def test_a_group_is_never_separated(pool: Path) -> None:
    path = write(pool, "path,label,group", *rows(12, lambda k: f",{'ab'[k < 4]}{k // 6 % 2}"))
    data = load_data(path).split(test=0.3, seed=5)
    sides: dict[int, set[int]] = {}
    for group, side in zip(data.groups, data.splits, strict=True):
        sides.setdefault(group, set()).add(side)
    assert all(len(side) == 1 for side in sides.values())


def test_an_image_without_a_group_is_alone(pool: Path) -> None:
    path = write(pool, "path,label,group", *rows(6, lambda k: ",g" if k < 3 else ","))
    assert load_data(path).groups.tolist() == [0, 0, 0, 1, 2, 3]


def test_rows_without_a_label_are_listed(pool: Path) -> None:
    path = write(pool, "path,label", *rows(10) * 5, "pool/005.png,", "", ",x")
    (problem,) = read_table(path).problems
    assert problem.kind == "bad-row"
    assert problem.paths == ("line 52", "line 54")


def test_paths_out_of_the_folder_need_the_flag(pool: Path, make_folder: Callable) -> None:
    make_folder({"far": 2}, root=pool.parent / "other", seed=77)
    outside = pool.parent / "other" / "far" / "000.png"
    lines = ["../other/far/001.png,x", f"{outside},y"]
    path = write(pool, "path,label", *rows(10) * 5, *lines)
    source = read_table(path)
    assert len(source.files) == 50
    assert source.problems[0].kind == "outside-link"
    assert len(load_data(path, follow_links=True)) == 52
    with pytest.raises(DataError, match="outside the table's folder.*: 2"):
        load_data(write(pool, "path,label", *rows(10), *lines))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,name", "a,b"], "no column label; its first line is: path, name"),
        (["a.png,cat"], "no column path"),
        ([""], "no column path"),
        (["path,label"], "it has no rows"),
        (["path,label,split", "a,b,later"], "line 2 has the split 'later'"),
        (["path,label", "a,b\0"], "1 of 1 images cannot be used"),
    ],
)
def test_tables_that_cannot_be_used(pool: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(write(pool, *lines))


def test_a_cell_without_end_is_an_error(pool: Path) -> None:
    with pytest.raises(DataError, match="as a table"):
        read_table(write(pool, "path,label", '"' + "a" * 200_000))


def test_the_same_image_may_be_named_twice(pool: Path) -> None:
    path = write(pool, "path,label", *rows(4), "pool/000.png,y")
    data = load_data(path)
    assert {p.kind for p in data.problems} == {"duplicate", "conflicting-labels"}


def test_labels_may_change_without_decoding_again(pool: Path) -> None:
    load_data(write(pool, "path,label", *rows(6)))
    calls: list[int] = []
    changed = [row.replace(",x", ",z") for row in rows(6)]
    data = load_data(write(pool, "path,label", *changed), progress=lambda *_: calls.append(1))
    assert data.classes == ("y", "z")
    assert not calls
