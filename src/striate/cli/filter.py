"""`striate filter`: what a kernel of the lectures' gallery sees in an image."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.explanation import Filtered, KernelOptions, Padding

_KERNEL_HELP = (
    "identity, edge1, edge2, edge3, sharpen, box, gaussian, gabor, or a text file of numbers"
)
_SHOW_HELP = "clip, absolute, centred or stretch; by the kernel if not given"


def command(
    image: Annotated[Path, typer.Argument(help="An image file")],
    kernel: Annotated[str, typer.Option(metavar="NAME|FILE", help=_KERNEL_HELP)],
    size: Annotated[
        str | None, typer.Option(metavar="N|HxW", help="Side of box, gaussian, gabor")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="Standard deviation of gaussian, gabor, in pixels")
    ] = None,
    angle: Annotated[
        float | None, typer.Option(help="Direction of gabor's wave, in degrees from the x axis")
    ] = None,
    wavelength: Annotated[float | None, typer.Option(help="Of gabor's wave, in pixels")] = None,
    stride: Annotated[str, typer.Option(metavar="N|HxW", help="Step down and across")] = "1",
    padding: Annotated[
        str, typer.Option(metavar="same|N|HxW", help="Zeros on each side; same keeps the size")
    ] = "same",
    flip: Annotated[
        bool, typer.Option("--flip", help="Convolution as in signal processing: the kernel turned")
    ] = False,
    grey: Annotated[bool, typer.Option("--grey", help="Filter the brightness alone")] = False,
    show: Annotated[str | None, typer.Option(metavar="HOW", help=_SHOW_HELP)] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="By default IMAGE-KERNEL.png, here")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Move a kernel over an image and write what it responds to as a picture.

    As in a convolutional layer the kernel is not turned (cross-correlation), and zeros lie around
    the image; each colour is filtered by itself.

    Edges have responses of both signs. How they become grey levels: `clip` cuts off at 0 and 255
    (default for identity, sharpen, box, gaussian); `absolute` shows the absolute value (edge1,
    edge2, edge3); `centred` shows 0 as middle grey (gabor); `stretch` goes from the lowest to the
    highest. A kernel from a file: `clip` where its numbers add up to 1, `absolute` where they add
    up to 0, else `stretch`.

    Without --out no file is replaced: a name that is taken gets a number.

    Examples:
        striate filter photo.jpg --kernel edge2

        striate filter photo.jpg --kernel gaussian --sigma 4 --out soft.png

        striate filter photo.jpg --kernel gabor --angle 45 --wavelength 12 --grey

        striate filter photo.jpg --kernel sobel.txt --flip --stride 2
    """
    from striate.cli.text import print_json
    from striate.explanation import filter_image

    if out is not None:
        _check_out(out, image)
    options: KernelOptions = {}
    if size is not None:
        options["size"] = read_pair(size, "--size")
    for name, value in (("sigma", sigma), ("angle", angle), ("wavelength", wavelength)):
        if value is not None:
            options[name] = value  # type: ignore[literal-required]
    filtered = filter_image(
        image,
        kernel,
        stride=read_pair(stride, "--stride"),
        padding=_read_padding(padding),
        flip=flip,
        grey=grey,
        show=show,  # type: ignore[arg-type]  # checked there
        **options,
    )
    path = _free_name(image, filtered.kernel.name) if out is None else out
    replaced = path.exists()
    filtered.save(path)
    if as_json:
        print_json({"image": str(image), **filtered.to_json(), "path": str(path)})
    else:
        _print(filtered, path, replaced=replaced)


def read_pair(text: str, option: str) -> tuple[int, int]:
    """Height and width from `2` or `2x1`.

    Raises:
        UsageError: If the text has another form.

    Examples:
        >>> read_pair("2", "--stride"), read_pair("2x1", "--stride")
        ((2, 2), (2, 1))
    """
    found = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip())
    if found is None:
        raise UsageError(f"{option} {text!r} is no size", hint="as in 3, or 5x3: height x width")
    return int(found[1]), int(found[2] or found[1])


def _read_padding(text: str) -> Padding:
    return "same" if text == "same" else read_pair(text, "--padding")


def _check_out(out: Path, image: Path) -> None:
    if out.suffix.lower() != ".png":
        raise UsageError("the picture is written as PNG", path=out, hint="end the name in .png")
    if out.is_dir():
        raise UsageError("it is a folder", path=out, hint="name a file")
    if out.exists() and image.exists() and out.samefile(image):
        raise UsageError("it is the image itself", path=out, hint="write to another file")


def _free_name(image: Path, kernel: str) -> Path:
    """`photo-edge2.png` in the current folder, or with the first free number.

    Not beside the image: that may be a folder of training images, each file of which counts.
    """
    for number in itertools.count(1):
        path = Path(f"{image.stem}-{kernel}{'' if number == 1 else f'-{number}'}.png")
        if not path.exists():
            return path
    raise AssertionError("numbers do not end")


def _print(filtered: Filtered, path: Path, *, replaced: bool) -> None:
    from striate.cli.text import printable

    kernel = filtered.kernel
    turned = ", turned by half a turn" if filtered.flip else ""
    if filtered.flip and kernel.symmetric:
        turned += " (which leaves this kernel as it is)"
    clipped = f", {filtered.clipped:.1%} of it beyond the range" if filtered.clipped else ""
    lines = (
        f"kernel     {kernel.name} {_by(kernel.size)}{turned}",
        f"image      {_by(filtered.input)} -> {_by(filtered.responses.shape)}",
        f"responses  {filtered.minimum:.4g} to {filtered.maximum:.4g}, shown by {filtered.show}"
        f"{clipped}",
        f"picture    {path}{' (replaced)' if replaced else ''}",
    )
    for line in lines:
        typer.echo(printable(line))


def _by(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
