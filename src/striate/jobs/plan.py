"""Makes the choices that a training leaves open, and says each of them."""

from __future__ import annotations

from striate.data import TRAIN, VALIDATION, Data
from striate.errors import RecipeError, UsageError
from striate.jobs.weights import adopt_weights
from striate.model.pretrained import Pretrained, open_pretrained
from striate.nets import Net, Summary, auto_net, load_net
from striate.training.machine import choose_device, choose_precision, choose_threads
from striate.training.processes import check_workers, started_here
from striate.training.recipe import Recipe
from striate.training.resolve import Facts, resolve_recipe
from striate.training.setup import Plan
from striate.training.transfer import Start


def make_plan(
    data: Data,
    *,
    net: str | Net,
    recipe: Recipe,
    seed: int,
    device: str,
    pretrained: Pretrained | None = None,
) -> tuple[Plan, list[str]]:
    """Choose net, batch size, epochs, mirroring, device and precision, where they are "auto".

    Args:
        data: The images, already split.
        net: A net, its text, name or file, or "auto".
        recipe: The recipe, perhaps with "auto" in it.
        seed: The run's seed.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        pretrained: The weights that the recipe names, if they have been opened.

    Returns:
        The plan, and a sentence for each choice.

    Raises:
        RecipeError: If validation images are needed and there are none.
        UsageError: If there is no such device, net or recipe.
        ModelError: If there are no such weights, or they do not fit.
    """
    if not len(data.indices(VALIDATION)):
        _refuse_choice_by_validation(recipe)
    where = choose_device(device)
    check_workers(recipe.workers, where)
    facts = Facts(
        train_images=len(data.indices(TRAIN)),
        side=min(data.images.shape[1:3]),
        colour=data.images.shape[3] == 3,
        mirror=data.mirror,
    )
    resolved, notes = resolve_recipe(recipe, facts)
    if recipe.transfer.weights and pretrained is None:
        pretrained = open_pretrained(recipe.transfer.weights)
    chosen, start, reasons = _choose_net(net, data, recipe, pretrained)
    height, width, channels = data.images.shape[1:]
    summary = chosen.summary((height, width, channels))
    precision, why = choose_precision(
        resolved.precision, device=where, multiply_adds=summary.multiply_adds, colour=facts.colour
    )
    threads = choose_threads(
        summary.multiply_adds * int(resolved.batch_size), processes=started_here(recipe.workers)
    )
    plan = Plan(chosen, resolved, seed, where, precision, threads, start)
    # the default net's own choices need no warning
    warnings = [] if net == "auto" else list(summary.warnings)
    _refuse_lone_values(summary, images=min(int(resolved.batch_size), facts.train_images))
    return plan, [*reasons, *notes, why, *warnings]


def _refuse_choice_by_validation(recipe: Recipe) -> None:
    choosing = {
        "stop.patience": recipe.stop.patience > 0,
        "stop.restarts": recipe.stop.restarts > 1,
    }
    for name, chooses in choosing.items():
        if chooses:
            raise RecipeError(
                f"{name} goes by the validation loss, and there are no validation images",
                hint="keep some, as with --validation 0.1, or leave it out",
            )


def _refuse_lone_values(summary: Summary, *, images: int) -> None:
    """Refuse batch normalisation of a single value a channel, which has no deviation."""
    for row in summary.layers:
        if row.text.startswith("bn") and images * row.output[0] * row.output[1] == 1:
            raise UsageError(
                f"batches of one image leave {row.text} one value a channel to normalise",
                path="batch_size",
                hint="use at least 2 images a batch, or another net",
            )


def _choose_net(
    net: str | Net, data: Data, recipe: Recipe, pretrained: Pretrained | None
) -> tuple[Net, Start | None, list[str]]:
    if pretrained is not None:
        adopted = adopt_weights(pretrained, net=net, data=data, recipe=recipe)
        return adopted.net, adopted.start, adopted.notes
    height, width, channels = data.images.shape[1:]
    classes = len(data.classes)
    if net == "auto":
        chosen, reason = auto_net(
            size=(height, width),
            channels=channels,
            classes=classes,
            images=len(data.indices(TRAIN)),
        )
        return chosen, None, [reason]
    chosen = net if isinstance(net, Net) else load_net(net)
    chosen = chosen.adapted_to((height, width, channels)).with_classes(classes)
    return chosen, None, [f"net {str(net)[:60]!r}, as asked for"]
