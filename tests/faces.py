"""Photos to test with: a gradient, noise, a miniature of CelebA; none shows anybody."""

import numpy as np
from PIL import Image


def gradient(height=140, width=150):
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, (x + y) // 2], -1).astype("uint8")


def save_photo(path, pixels):
    """Write one photo, with its folder. What Pillow cannot write becomes a file of another kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = Image.registered_extensions().get(path.suffix.lower(), "png")
    Image.fromarray(pixels).save(path, kind)


def save_photos(folder, count, suffix=".png"):
    """Different photos 00.png, 01.png, ... in a folder; returns their paths."""
    paths = [folder / f"{index:02d}{suffix}" for index in range(count)]
    for index, path in enumerate(paths):
        save_photo(path, gradient() // 2 + index)
    return paths


def make_celeba(root, splits=(12, 4, 4), suffix=".jpg", missing=()):
    """Kaggle's layout with its doubled folder: photo number i has the level 5 i. missing: photos to leave out."""
    parts = [part for part, count in enumerate(splits) for _ in range(count)]
    for index in set(range(len(parts))) - set(missing):
        path = root / "img_align_celeba" / "img_align_celeba" / f"{index + 1:06d}{suffix}"
        save_photo(path, np.full((218, 178, 3), 5 * index, "uint8"))
    rows = [f"{index + 1:06d}.jpg,{part}" for index, part in enumerate(parts)]
    (root / "list_eval_partition.csv").write_text("\n".join(["image_id,partition", *rows]) + "\n")
    return root


def flip_bit(path):
    """What a bad cable does to a large file."""
    content = bytearray(path.read_bytes())
    content[-900] ^= 1
    path.write_bytes(content)
