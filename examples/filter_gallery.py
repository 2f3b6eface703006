"""The lectures' filter gallery: every kernel over one photo, as pictures in a folder.

The pictures of docs/filters.md: `python examples/filter_gallery.py docs/pictures`. The photo is
china.jpg of scikit-learn, by danielbuechele, CC BY 2.0, at half its size.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

import striate
from striate.explanation import KERNELS

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "gallery")
folder.mkdir(exist_ok=True)
photo = np.asarray(Image.fromarray(load_sample_image("china.jpg")).reduce(2))

pictures = {name: striate.filter_image(photo, name) for name in KERNELS}
for angle in (45, 90, 135):
    pictures[f"gabor-{angle}"] = striate.filter_image(photo, "gabor", angle=angle)

for name, filtered in pictures.items():
    path = folder / f"filter-{name}.jpg"
    Image.fromarray(filtered.picture()).save(path, quality=85)
    print(f"{path}: responses from {filtered.minimum:.0f} to {filtered.maximum:.0f}")
