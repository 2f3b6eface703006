"""What to do next, and why a net may have learned nothing: rules over the same figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from striate.report.facts import Facts
from striate.report.verdict import begins_to_overfit, miscalibrated, overfits, still_improving
from striate.report.wording import count, percent, plural, quoted

WIDE_INTERVAL = 0.05  # high less low, above which the accuracy is hardly known
WANTED_INTERVAL = 0.02
UNEVEN = 5  # largest class over smallest, in training images
MOST_STEPS = 5
LABEL_PROBLEMS = frozenset({"conflicting-labels", "suspect-label"})
LEAKS = frozenset({"leak", "near-duplicate"})


def next_steps(facts: Facts) -> tuple[str, ...]:
    """At most five things to do, the most urgent first."""
    rules: Sequence[Callable[[Facts], str | None]] = (
        _find_the_cause,
        _mend_labels,
        _mend_leaks,
        _hold_images_back,
        _train_longer,
        _fight_overfitting,
        _look_at_sure_mistakes,
        _weakest_class,
        _even_out_classes,
        _calibrate,
        _narrow_interval,
    )
    steps = [step for rule in rules if (step := rule(facts)) is not None]
    if not steps:
        steps = ["Nothing stands out. Look at the worst mistakes: they show what is left to learn."]
    return tuple(steps[:MOST_STEPS])


def causes_of_chance(facts: Facts) -> tuple[str, ...]:
    """Why accuracy may stay at chance, the causes with evidence in this run first."""
    if not facts.at_chance:
        return ()
    evident = [
        cause for cause in (_flat_loss(facts), _lost_numbers(facts), _few_images(facts)) if cause
    ]
    if facts.kinds & LABEL_PROBLEMS:
        evident.append("Labels contradict each other: the data section lists the images.")
    rate = facts.run.recipe.get("optimizer", {}).get("lr", "unknown")
    general = [
        "The labels do not belong to the images: shuffled, or read from the wrong column. "
        "Open cells of the confusion matrix and look.",
        f"The learning rate does not fit: it was {rate}; try a tenth and ten times of it with "
        "`--set optimizer.lr=...`.",
        "The images are too small to show what tells the classes apart: try a larger `--size`.",
        "The training was too short: try more `--epochs`.",
        "The net does not suit the images: try `--net auto`.",
    ]
    return tuple(evident + general)


def _flat_loss(facts: Facts) -> str | None:
    losses = [point.train_loss for point in facts.points if point.train_loss is not None]
    if len(losses) > 1 and losses[-1] > 0.95 * losses[0]:
        return (
            f"The training loss did not fall ({losses[0]:.3f} to {losses[-1]:.3f}), so it is not "
            "overfitting: the net learned nothing even of the images it was shown."
        )
    return None


def _lost_numbers(facts: Facts) -> str | None:
    if any(point.train_loss is None for point in facts.points):
        return "The loss stopped being a number: the learning rate is too high."
    return None


def _few_images(facts: Facts) -> str | None:
    images = facts.run.data.counts.train / len(facts.classes)
    if images < 20:
        return f"There are only {images:.0f} training images a class: add more."
    return None


def _find_the_cause(facts: Facts) -> str | None:
    if facts.at_chance:
        return "Find out why it has not learned: go through the causes above, from the first."
    return None


def _mend_labels(facts: Facts) -> str | None:
    if facts.kinds & LABEL_PROBLEMS:
        return (
            "Mend the labels that contradict each other (listed under the data), then train again."
        )
    return None


def _mend_leaks(facts: Facts) -> str | None:
    if facts.kinds & LEAKS:
        return (
            "Look at the images that occur, or nearly occur, in two splits: they make the accuracy "
            "look better than it is."
        )
    return None


def _hold_images_back(facts: Facts) -> str | None:
    if facts.split == "test":
        return None
    return "Hold images back for a test (`--test 0.15`): only then is the accuracy an honest one."


def _train_longer(facts: Facts) -> str | None:
    fitting = overfits(facts) or begins_to_overfit(facts)
    if facts.at_chance or fitting or not still_improving(facts):
        return None
    epochs = round(facts.points[-1].epoch)
    return f"Train longer: it was still improving. Try `--epochs {2 * max(epochs, 1)}`."


def _fight_overfitting(facts: Facts) -> str | None:
    if not overfits(facts) and not begins_to_overfit(facts):
        return None
    images = facts.run.data.counts.train
    return (
        f"Fight the overfitting: more than the {count(images)} training images is best; else "
        "stronger augmentation (`--set augment.translate=4`, `--set augment.cutout=8`), a smaller "
        "net, or early stopping (`--set stop.patience=3`)."
    )


def _look_at_sure_mistakes(facts: Facts) -> str | None:
    if not facts.sure_mistakes:
        return None
    return (
        f"Look at the {plural(facts.sure_mistakes, 'mistake')} it made with at least 99{chr(160)}% "
        "certainty: where the net is that sure, the label is often what is wrong."
    )


def _weakest_class(facts: Facts) -> str | None:
    if facts.scores is None or facts.at_chance or facts.scores.accuracy == 1:
        return None
    seen = [scores for scores in facts.scores.classes if scores.support]
    if len(seen) < 3:
        return None
    weakest = min(seen, key=lambda scores: scores.recall)
    others = (facts.scores.accuracy * facts.scores.images - weakest.recall * weakest.support) / (
        facts.scores.images - weakest.support
    )
    if others - weakest.recall < 0.1:
        return None
    return (
        f"Help {quoted(weakest.name)}: only {percent(weakest.recall)} of its "
        f"{plural(weakest.support, 'image')} are found, against {percent(others)} elsewhere. "
        "More and more varied images of it help most."
    )


def _even_out_classes(facts: Facts) -> str | None:
    weighting = facts.run.recipe.get("loss", {}).get("class_weights", "none")
    if facts.scores is None or weighting != "none":
        return None
    supports = [scores.support for scores in facts.scores.classes if scores.support]
    if max(supports) < UNEVEN * min(supports):
        return None
    return (
        f"The largest class has {max(supports) / min(supports):.0f} times the images of the "
        "smallest. If the small ones matter as much, try `--set loss.class_weights=balanced`."
    )


def _calibrate(facts: Facts) -> str | None:
    if not miscalibrated(facts):
        return None
    if facts.run.data.counts.validation == 0:
        return (
            "Train with `--validation 0.1`: its images are needed to calibrate the probabilities."
        )
    return (
        "Do not act on its probabilities alone: calibrate them on more validation images "
        "(`--validation 0.2`)."
    )


def _narrow_interval(facts: Facts) -> str | None:
    if facts.scores is None or facts.at_chance:
        return None
    low, high = facts.scores.interval
    if high - low <= WIDE_INTERVAL:
        return None
    spread = max(facts.scores.accuracy * (1 - facts.scores.accuracy), 0.01)
    needed = math.ceil(spread * (1.96 / (WANTED_INTERVAL / 2)) ** 2 / 100) * 100
    return (
        f"The accuracy is only known to within {percent((high - low) / 2)} either way; about "
        f"{count(needed)} {facts.split} images would make that {percent(WANTED_INTERVAL / 2)}. "
        "Differences between two runs below that are noise."
    )
