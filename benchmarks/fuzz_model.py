"""Feed damaged and hostile model files to the loader for a while.

    python benchmarks/fuzz_model.py --minutes 60 --seed 1

Every file must load as a sound model or be refused with a ModelError of one line, within the time
and memory limits. Anything else is a finding: the file is kept, the case is printed, and the status
is 1.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from striate.data import Preprocessing
from striate.errors import ModelError, ResourceError
from striate.model import Model, is_finite, load_model, load_tensors, save_tensors
from striate.nets import parse_net

SECONDS_A_FILE = 10.0
MEMORY = 2 * 2**30  # beyond what is in use at the start
NETS = (
    "conv3-4 bn relu maxpool2 fc-3",
    "whiten2 gelu conv3-4b0 bnw0m0.4 gap fc-3b0 scale1/256",
    "(conv1-2 | conv3-2) local3-2 gap fc-3",
)
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 2**31, 2**63, 2**70, -(2**63), 0.0, -0.5, 1e308, "", "x",
    "\0", "two\nlines", "../../etc/passwd", "F32", "F999", "I64", "BOOL", [], [[]], [0], [1, 2],
    [-1], [2**60, 2**60], {}, {"a": {}}, "conv3-64", "\ud800", "9" * 5000, ["a"] * 50,
)  # fmt: skip
WORDS = (
    "conv3-4", "conv3-999999999", "fc-3", "fc-2147483648", "whiten2", "whiten99", "[", "]", "]*3",
    "]*999999999", "(", "|", "+", ")", "skip", "gap", "bn", "bnw0m0.4e1e-12", "maxpool2", "unpool2",
    "maxpool99", "local3-4", "relu", "softmax", "input", "8x8x3", "99999x99999x3", "dropout0.5",
    "scale1/0", "scale1e999", "f(n) = conv3-n f(n)\n", "f(4)", "f = f f f f f f\n", "f", "\n",
    "nearest9999", "reshape1x1x192", "tconv3-4/2", "#", "conv3-4/0", "conv0-0", "lrn", "code",
)  # fmt: skip

LAYERS = (
    "conv3-3", "conv1-3", "bn", "relu", "ln", "nearest2", "maxpool2", "nearest64", "conv3-3000",
    "local3-3", "whiten2", "fc-192 reshape8x8x3", "tconv2-3/2", "maxpool3/1p1", "maxpool2 unpool2",
)  # fmt: skip

Mutation = Callable[[random.Random, bytes, Path], None]


def make_seeds(folder: Path) -> list[bytes]:
    """The bytes of a few sound models."""
    seeds = []
    for text in NETS:
        module = parse_net(text).build((8, 8, 3))
        preprocessing = Preprocessing(size=(8, 8), channels=3)
        model = Model(module.net, module, ("a", "b", "c"), preprocessing, 1.5, {"run": "r"})
        model.save(folder / "seed")
        seeds.append((folder / "seed").read_bytes())
    return seeds


def damage_bytes(draw: random.Random, content: bytes, path: Path) -> None:
    """Change, cut, repeat or insert bytes anywhere."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        place = draw.randrange(len(data) + 1)
        match draw.randrange(5):
            case 0 if place < len(data):
                data[place] ^= 1 << draw.randrange(8)
            case 1:
                del data[place:]
            case 2:
                data[place:place] = draw.randbytes(draw.randint(1, 64))
            case 3:
                del data[place : place + draw.randint(1, 64)]
            case _:
                data[place:place] = data[: draw.randint(0, len(data))][:4096]
        data = data or bytearray(b"\0")
    path.write_bytes(data)


def damage_header(draw: random.Random, content: bytes, path: Path) -> None:
    """Change values of the header, and announce its new length rightly."""
    header, weights = split(content)
    for _ in range(draw.randint(1, 3)):
        damage_value(draw, header)
    text = json.dumps(header)
    if draw.random() < 0.1:
        text = text.replace(",", ',"twice":1,"twice":2,', 1)
    if draw.random() < 0.1:
        text = text.replace("[", "[" * draw.choice((2, 100, 100_000)), 1)
    path.write_bytes(join(text.encode("utf-8", "surrogatepass"), weights))


def damage_document(draw: random.Random, content: bytes, path: Path) -> None:
    """Change values of the document and the weights, and seal them with right checksums."""
    path.write_bytes(content)
    tensors, document = load_tensors(path)
    if draw.random() < 0.4:
        damage_value(draw, document)
    if draw.random() < 0.5:
        document["net"] = draw_net(draw)
    if draw.random() < 0.3:
        damage_tensors(draw, tensors)
    try:
        save_tensors(path, tensors, document)
    except (ValueError, TypeError):  # what was drawn cannot be written at all
        path.write_bytes(b"")


def draw_net(draw: random.Random) -> str:
    """A net text: words in any order, or nested as the grammar has it."""
    if draw.random() < 0.3:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))
    return f"{draw_chain(draw, draw.randint(0, 6))} gap fc-3"


def draw_chain(draw: random.Random, depth: int) -> str:
    """Layers, repeats and branches; some repeats multiply to more than any machine holds."""
    if depth == 0:
        return draw.choice(LAYERS)
    inner = [draw_chain(draw, depth - 1) for _ in range(draw.randint(1, 2))]
    match draw.randrange(4):
        case 0:
            return f"[{' '.join(inner)}]*{draw.choice((1, 2, 9, 1000))}"
        case 1:
            return f"({draw.choice((' | ', ' + ')).join([*inner, 'skip'])})"
        case _:
            return " ".join(inner)


def damage_value(draw: random.Random, tree: Any) -> None:
    """Replace, remove or add one entry somewhere in a tree of dicts and lists."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(tree[key], dict | list) and tree[key] and draw.random() < 0.7:
            tree = tree[key]
            continue
        match draw.randrange(4):
            case 0 if isinstance(tree, dict):
                del tree[key]
            case 1 if isinstance(tree, dict):
                tree[str(draw.choice(JUNK))] = copy.deepcopy(draw.choice(JUNK))
            case 2 if type(tree[key]) is int:
                tree[key] += draw.choice((-1, 1, -8, 8, 2**40))
            case _:
                tree[key] = copy.deepcopy(draw.choice(JUNK))
        return


def damage_tensors(draw: random.Random, tensors: dict[str, torch.Tensor]) -> None:
    """Make one tensor not finite, of another shape or dtype, lost or renamed."""
    name = draw.choice(sorted(tensors))
    tensor = tensors.pop(name)
    match draw.randrange(5):
        case 0 if tensor.is_floating_point():
            tensor.view(-1)[0] = draw.choice((float("nan"), float("inf")))
            tensors[name] = tensor
        case 1:
            tensors[name] = tensor.flatten()
        case 2:
            tensors[name] = tensor.to(draw.choice((torch.float64, torch.int64, torch.bool)))
        case 3:
            tensors[name + "x"] = tensor
        case _:
            pass


def split(content: bytes) -> tuple[Any, bytes]:
    """The header as a tree, and the bytes of the weights."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(header: bytes, weights: bytes) -> bytes:
    """A file of a header and weights."""
    return len(header).to_bytes(8, "little") + header + weights


def outcome(path: Path) -> str:
    """Load a file; the class of what happened.

    Raises:
        Exception: whatever is a finding.
    """
    start = time.monotonic()
    result, message = "sound", ""
    try:
        model = load_model(path)
        assert all(map(is_finite, model.module.state_dict().values()))
        assert len(model.classes) == len(set(model.classes)) > 0
    except (ModelError, ResourceError) as error:
        result, message = type(error).__name__, str(error)
    assert "\n" not in message, f"an error of two lines: {message}"
    assert len(message) < 2000, "an error of more than 2000 characters"
    elapsed = time.monotonic() - start
    assert elapsed < SECONDS_A_FILE, f"took {elapsed:.1f} s"
    return result


def fuzz(seconds: float, seed: int, kept: Path) -> Counter[str]:
    """Load mutated files for a while; the counts of outcomes, "finding" among them."""
    mutations: tuple[Mutation, ...] = (damage_bytes, damage_header, damage_document)
    counts: Counter[str] = Counter()
    memory = Path("/dev/shm")  # saving waits for the disk; what is looked for is not there
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder) / "m.safetensors"
        seeds = make_seeds(Path(folder))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            number = counts.total()
            draw = random.Random(f"{seed} {number}")
            mutation = draw.choice(mutations)
            mutation(draw, draw.choice(seeds), path)
            try:
                counts[outcome(path)] += 1
            except Exception as error:  # what it may be is what we want to know
                counts["finding"] += 1
                shutil.copy(path, kept / f"finding-{seed}-{number}.safetensors")
                print(f"{seed} {number} {mutation.__name__}: {error!r:.500}", flush=True)
    return counts


def limit_memory() -> None:
    """Make an allocation far beyond the size of the files fail."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(), help="folder for findings")
    options = parser.parse_args()
    torch.set_num_threads(1)
    limit_memory()
    counts = fuzz(options.minutes * 60, options.seed, options.keep)
    print(f"{counts.total():,} files: {dict(counts.most_common())}")
    return 1 if counts["finding"] else 0


if __name__ == "__main__":
    sys.exit(main())
