import pytest
from pydantic import ValidationError

from striate.data import Preprocessing


def test_defaults_are_white_and_middle() -> None:
    preprocessing = Preprocessing(size=(8, 9), channels=1)
    assert preprocessing.background == (255,)
    assert preprocessing.mean == (0.5,)
    assert preprocessing.std == (0.25,)
    assert preprocessing.resize == "squash"


def test_it_survives_json() -> None:
    preprocessing = Preprocessing(
        size=(8, 9), channels=3, resize="pad", background=(1, 2, 3), mean=(0.1, 0.2, 0.3)
    )
    assert Preprocessing.model_validate_json(preprocessing.model_dump_json()) == preprocessing


@pytest.mark.parametrize(
    "change",
    [
        {"size": (0, 8)},
        {"size": (8, 5000)},
        {"channels": 2},
        {"resize": "stretch"},
        {"background": (300, 0, 0)},
        {"background": (1, 2)},
        {"mean": (0.5,)},
        {"std": (0.0, 0.1, 0.1)},
        {"mean": (float("nan"), 0.5, 0.5)},
        {"extra": 1},
    ],
)
def test_what_is_out_of_range_is_refused(change: dict[str, object]) -> None:
    fields = {"size": (8, 8), "channels": 3} | change
    with pytest.raises(ValidationError):
        Preprocessing.model_validate(fields)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValidationError):
        Preprocessing.model_validate([1])
