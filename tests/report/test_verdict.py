import pytest

from striate.report.facts import Facts
from striate.report.files import RunRecord
from striate.report.verdict import headline, verdict

GOOD = [[48, 2], [1, 49]]
CHANCE = [[30, 20], [27, 23]]
PERFECT = [[50, 0], [0, 50]]


def said(facts: Facts) -> dict[str, str]:
    return {f.topic: f.text.replace("\u00a0", " ") for f in verdict(facts)}


def tone(facts: Facts, topic: str) -> str:
    return next(f.tone for f in verdict(facts) if f.topic == topic)


def points(*figures: tuple[float, float, float]) -> list[dict]:
    """Training accuracy, validation accuracy, validation loss."""
    return [
        {
            "train_loss": 1 - train,
            "train_accuracy": train,
            "validation_accuracy": validation,
            "validation_loss": loss,
            "seconds": 10.0 * at,
        }
        for at, (train, validation, loss) in enumerate(figures, start=1)
    ]


@pytest.mark.parametrize(
    ("confusion", "sentence"),
    [
        (GOOD, "Right 97.0 % of the time on images it had not trained on."),
        (PERFECT, "Right on every one of 100 images it had not trained on."),
        (CHANCE, "It has not learned: right 53.0 % of the time, no better than one fixed answer."),
        (None, "Trained, and not yet tried on images it has not seen."),
    ],
)
def test_the_headline(make_facts, confusion, sentence: str) -> None:
    assert headline(make_facts(confusion)).replace("\u00a0", " ") == sentence


def test_what_was_trained_on_what(make_facts) -> None:
    facts = make_facts(GOOD, points=points((0.9, 0.9, 0.3), (0.95, 0.95, 0.2)))
    assert said(facts)["What was trained"] == (
        "A net of 3 layers with weights and 2.12 million parameters learned to tell 2 classes "
        "apart, from 1,000 images of pets, in 2 epochs and 20.0 s of training on cpu. "
        "100 to choose the best weights and 100 to test at the end were held back."
    )


@pytest.mark.parametrize(
    ("machine", "device", "words"),
    [
        ({"processor": "Xeon"}, "cpu", "on 2 threads of Xeon"),
        ({"processor": "Xeon", "gpu": "H100"}, "cuda", "on one H100"),
        ({}, "mps", "on mps"),
    ],
)
def test_the_machine_is_named(make_facts, machine: dict, device: str, words: str) -> None:
    facts = make_facts(GOOD)
    changes = {"machine": machine, "device": device, "threads": 2}
    run = RunRecord.model_validate({**facts.run.model_dump(), **changes})
    assert words in said(make_facts(GOOD, run=run))["What was trained"]


def test_the_result_says_how_long_it_took(make_facts) -> None:
    facts = make_facts(GOOD, points=points((0.9, 0.9, 0.3)))
    result = {"epochs": 7, "seconds": 61.0}
    run = RunRecord.model_validate({**facts.run.model_dump(), "result": result})
    assert "in 7 epochs and 1 min 1 s" in said(make_facts(GOOD, run=run))["What was trained"]


def test_accuracy_comes_with_its_interval(make_facts) -> None:
    assert said(make_facts(GOOD))["How good"] == (
        "Of 100 test images it names 97.0 % rightly. The true share lies between 91.5 % and "
        "99.0 %, with 95 % confidence."
    )


def test_validation_stands_in_for_a_missing_test(make_facts) -> None:
    facts = make_facts(GOOD, counts=(1000, 100, 0))
    assert "There is no test split" in said(facts)["How good"]
    assert "flatters a little" in said(facts)["How good"]


def test_with_nothing_held_back_nothing_is_claimed(make_facts) -> None:
    found = said(make_facts(None, counts=(1000, 0, 0)))
    assert "unknown" in found["How good"]
    assert "No images were held back." in found["What was trained"]
    assert set(found) == {"What was trained", "How good"}


def test_against_the_majority_class(make_facts) -> None:
    assert said(make_facts(GOOD))["Against chance"] == (
        "Always answering “cat” would be right 50.0 % of the time, with 17 times as many mistakes. "
        "Guessing: 50.0 %."
    )
    assert tone(make_facts(GOOD), "Against chance") == "good"
    assert tone(make_facts([[80, 10], [6, 4]]), "Against chance") == "poor"
    assert "it has not learned" in said(make_facts(CHANCE))["Against chance"]
    assert "times" not in said(make_facts(PERFECT))["Against chance"]


def test_a_gain_that_is_real_and_small_is_no_learning(make_facts) -> None:
    facts = make_facts([[5200, 4800], [4800, 5200]])
    assert "hardly better" in headline(facts)
    assert "does hardly better" in said(facts)["Against chance"]
    uneven = make_facts([[9000, 0], [100, 900]])
    assert uneven.at_chance is False


def test_what_is_confused(make_facts) -> None:
    assert said(make_facts([[48, 2], [5, 45]]))["What it confuses"] == (
        "7 mistakes. Most often it takes “dog” for “cat” (5 of 50) and “cat” for “dog” (2 of 50)."
    )
    assert "no two of the same kind" in said(make_facts([[49, 1], [0, 50]]))["What it confuses"]
    assert "no mistake" in said(make_facts(PERFECT))["What it confuses"]


@pytest.mark.parametrize(
    ("curve", "tone_of_it", "words"),
    [
        ([(0.9, 0.9, 0.3), (0.95, 0.945, 0.2), (0.96, 0.95, 0.2)], "good", "No: 96.0 % on"),
        ([(0.9, 0.8, 0.5), (1.0, 0.9, 0.4), (1.0, 0.92, 0.4)], "fair", "It overfits: 100 % on"),
        ([(0.9, 0.6, 0.9), (1.0, 0.7, 0.8), (1.0, 0.7, 0.8)], "poor", "It overfits"),
        ([(0.9, 0.8, 0.5), (1.0, 0.8, 0.4), (1.0, 0.8, 0.6)], "poor", "The weights of epoch 2 are"),
        ([(0.9, 0.9, 0.5), (0.95, 0.91, 0.3), (0.95, 0.91, 0.5)], "fair", "It begins to overfit"),
        ([(0.5, 0.5, 0.9), (0.6, 0.6, 0.8), (0.7, 0.7, 0.7)], "fair", "still improving"),
    ],
)
def test_whether_it_overfits(make_facts, curve, tone_of_it: str, words: str) -> None:
    facts = make_facts(GOOD, points=points(*curve))
    assert words in said(facts)["Does it overfit"]
    assert tone(facts, "Does it overfit") == tone_of_it


def test_a_gap_within_the_noise_of_few_validation_images_is_none(make_facts) -> None:
    curve = points((0.96, 0.9, 0.3), (0.96, 0.9, 0.3), (0.96, 0.9, 0.3))
    assert "It overfits" in said(make_facts(GOOD, points=curve))["Does it overfit"]
    few = make_facts(GOOD, points=curve, counts=(1000, 10, 100))
    assert said(few)["Does it overfit"].startswith("No:")


def test_without_validation_overfitting_cannot_be_told(make_facts) -> None:
    facts = make_facts(GOOD, points=[{"train_accuracy": 1.0, "train_loss": 0.1}])
    assert "cannot be told" in said(facts)["Does it overfit"]


@pytest.mark.parametrize(
    ("sure", "noise", "tone_of_it", "words"),
    [
        (0.97, 0.0, "good", "Yes: stated and true differ by"),
        (0.94, 0.0, "fair", "Roughly: stated and true differ by 3.0 % on average."),
        (0.94, 0.025, "good", "Yes: stated and true differ by 3.0 % on average; chance alone"),
        (0.90, 0.08, "plain", "Too few images to tell"),
        (0.80, 0.0, "poor", "it is not sure enough, stating 80.0 %"),
    ],
)
def test_whether_probabilities_can_be_trusted(
    make_facts, sure: float, noise: float, tone_of_it: str, words: str
) -> None:
    facts = make_facts(GOOD, sure=sure, calibration_noise=noise)
    assert words in said(facts)["Can its probabilities be trusted"]
    assert tone(facts, "Can its probabilities be trusted") == tone_of_it


def test_too_sure_is_said(make_facts) -> None:
    facts = make_facts([[40, 10], [10, 40]], sure=0.99)
    assert "too sure, stating 99.0 %" in said(facts)["Can its probabilities be trusted"]
