import pytest

from striate.report.advice import MOST_STEPS, causes_of_chance, next_steps

GOOD = [[480, 20], [10, 490]]
SMALL = [[40, 10], [2, 48]]
CHANCE = [[30, 20], [27, 23]]


def advised(facts) -> str:
    return " ".join(next_steps(facts)).replace("\u00a0", " ")


def curve(*figures: tuple[float, float, float]) -> list[dict]:
    return [
        {
            "train_accuracy": t,
            "validation_accuracy": v,
            "validation_loss": loss,
            "train_loss": 1 - t,
        }
        for t, v, loss in figures
    ]


def test_where_nothing_stands_out_the_worst_mistakes_do(make_facts) -> None:
    (step,) = next_steps(make_facts(GOOD, counts=(8000, 1000, 1000), sure=0.97))
    assert step.startswith("Nothing stands out.")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("conflicting-labels", "Mend the labels"),
        ("leak", "occur, in two splits"),
        ("near-duplicate", "in two splits"),
    ],
)
def test_problems_of_the_data_come_first(make_facts, kind: str, words: str) -> None:
    facts = make_facts(SMALL, problems=[{"kind": kind}], sure=0.6, sure_mistakes=3)
    assert words in next_steps(facts)[0]


def test_without_a_test_split_one_is_asked_for(make_facts) -> None:
    assert "`--test 0.15`" in advised(make_facts(GOOD, counts=(1000, 100, 0)))


def test_a_net_that_was_still_improving_is_trained_longer(make_facts) -> None:
    improving = curve((0.5, 0.5, 0.9), (0.6, 0.6, 0.8), (0.7, 0.7, 0.7))
    assert "`--epochs 6`" in advised(make_facts(GOOD, points=improving))


def test_overfitting_is_fought_and_not_trained_longer(make_facts) -> None:
    overfitting = curve((0.9, 0.6, 0.9), (1.0, 0.7, 0.8), (1.0, 0.72, 0.8))
    advice = advised(make_facts(GOOD, points=overfitting))
    assert "more than the 1,000 training images" in advice
    assert "Train longer" not in advice


def test_sure_mistakes_are_looked_at(make_facts) -> None:
    advice = advised(make_facts(GOOD, sure_mistakes=7))
    assert "Look at the 7 mistakes it made with at least 99 % certainty" in advice


def test_the_weakest_class_is_named(make_facts) -> None:
    confusion = [[50, 0, 0], [0, 50, 0], [10, 10, 30]]
    assert "Help “eel”: only 60.0 % of its 50 images" in advised(make_facts(confusion))
    assert "Help" not in advised(make_facts([[49, 1, 0], [1, 49, 0], [1, 1, 48]]))


def test_uneven_classes_may_be_weighted(make_facts) -> None:
    uneven = [[890, 10], [5, 95]]
    assert "9 times the images" in advised(make_facts(uneven))
    weighted = make_facts(uneven, recipe={"loss": {"class_weights": "balanced"}})
    assert "times the images" not in advised(weighted)


def test_probabilities_that_are_off_are_calibrated(make_facts) -> None:
    assert "`--validation 0.1`" in advised(make_facts(GOOD, counts=(1000, 0, 1000), sure=0.7))
    assert "`--validation 0.2`" in advised(make_facts(GOOD, sure=0.7))


def test_a_wide_interval_says_how_many_images_would_narrow_it(make_facts) -> None:
    assert "about 4,100 test images would make that 1.0 %" in advised(make_facts(SMALL))


def test_the_list_stays_short(make_facts) -> None:
    facts = make_facts(
        [[40, 5, 5], [2, 48, 0], [3, 0, 2]],
        counts=(100, 10, 0),
        problems=[{"kind": "leak"}, {"kind": "conflicting-labels"}],
        points=curve((0.9, 0.6, 0.9), (1.0, 0.7, 0.8), (1.0, 0.72, 0.8)),
        sure=0.6,
        sure_mistakes=2,
    )
    assert len(next_steps(facts)) == MOST_STEPS


def test_causes_are_listed_only_at_chance(make_facts) -> None:
    assert causes_of_chance(make_facts(GOOD)) == ()
    assert "causes above" in next_steps(make_facts(CHANCE))[0]
    causes = causes_of_chance(make_facts(CHANCE, recipe={"optimizer": {"lr": 0.24}}))
    assert len(causes) == 5
    assert any("it was 0.24" in cause for cause in causes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": curve((0.5, 0.5, 0.7), (0.5, 0.5, 0.7))}, "did not fall (0.500 to 0.500)"),
        ({"points": [{"train_loss": None}]}, "stopped being a number"),
        ({"counts": (30, 10, 100)}, "only 15 training images a class"),
        ({"problems": [{"kind": "conflicting-labels"}]}, "contradict each other"),
    ],
)
def test_causes_with_evidence_come_first(make_facts, changes: dict, words: str) -> None:
    assert words in causes_of_chance(make_facts(CHANCE, **changes))[0]
