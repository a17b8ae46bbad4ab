"""Files broken in a thousand ways: each is read, or refused by name; nothing crashes, memory stays bounded.

`python tests/test_fuzz.py 2500 FOLDER` breaks that many image files there.
"""

import collections
import dataclasses
import io
import os
import pathlib
import shutil
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from faces import gradient, save_photos
from PIL import Image

from srlib import commands, datasets, photos, runtime

LONGEST = 5.0  # seconds for one image
MEMORY = 1_500  # megabytes of the process at its peak; MAX_PIXELS as RGB alone are 192


def broken(content, rng, other=b""):
    """The content with bits flipped, eight bytes overwritten (near the start), or a new end: none, noise, another's."""
    content, how, place = bytearray(content), rng.integers(6), int(rng.integers(len(content)))
    if how == 0:
        for place in rng.integers(0, len(content), int(rng.integers(1, 30))):
            content[place] ^= 1 << int(rng.integers(8))
    elif how < 3:
        content[place % (40 * how) : place % (40 * how) + 8] = rng.bytes(8)
    else:
        content = content[:place] + (b"", rng.bytes(5_000), other[place:])[how - 3]
    return bytes(content)


def originals():
    """Small valid images of the kinds that people have, as bytes."""
    rgb, exif = Image.fromarray(gradient()), Image.Exif()
    levels = Image.fromarray((np.arange(140 * 150).reshape(140, 150) * 3).astype("uint16"))
    exif[0x0112] = 6
    pictures = [
        ("jpeg", rgb, {"exif": exif}), ("jpeg", rgb.convert("CMYK"), {}), ("jpeg", rgb, {"progressive": True}),
        ("png", rgb, {}), ("png", rgb.convert("RGBA"), {}), ("png", rgb.quantize(32), {}), ("png", levels, {}),
        ("tiff", rgb, {}), ("tiff", rgb, {"compression": "tiff_lzw"}), ("tiff", levels, {}),
        ("bmp", rgb, {}), ("webp", rgb, {}), ("gif", rgb, {}), ("ppm", rgb, {}),
    ]  # fmt: skip
    files = []
    for kind, picture, options in pictures:
        picture.save(file := io.BytesIO(), kind, **options)
        files.append(file.getvalue())
    return files


def read_broken_images(folder, count):
    rng, files, ends = np.random.default_rng(0), originals(), collections.Counter()
    suffixes, longest = sorted(photos.suffixes()), 0
    for number in range(count):
        content, other = (files[rng.integers(len(files))] for _ in range(2))
        path = folder / f"broken-{number}{suffixes[rng.integers(len(suffixes))]}"
        path.write_bytes(broken(content, rng, other))
        start = time.monotonic()
        try:
            image = photos.read_image(path)
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            assert 0 < image.shape[0] * image.shape[1] <= photos.MAX_PIXELS
            ends["read"] += 1
        except ValueError as error:  # anything else is a crash, and fails
            assert path.name in str(error) and "Replace or remove" in str(error), error
            ends["refused"] += 1
        longest = max(longest, time.monotonic() - start)
    status = pathlib.Path("/proc/self/status")  # Linux; `getrusage` would begin at the parent's peak
    peak = int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024 if status.exists() else 0
    print(ends, f"longest {longest:.2f} s, peak {peak} MB")
    assert min(ends.values()) > count / 10 and longest < LONGEST and peak < MEMORY


@pytest.mark.slow
def test_images(tmp_path):
    """In a process of its own, for its peak memory. One is whole, and has sixty megapixels, nearly the limit."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("LA", (10_000, 6_000)).save(tmp_path / "large.png", exif=exif)
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(photos.__file__).parent.parent)}
    subprocess.run([sys.executable, __file__, "400", str(tmp_path)], check=True, timeout=120, env=environment)


def check(paths, count, read, refused=ValueError):
    """Break one of the files, `count` times, and read: it gives what the whole files give, or an error with a name."""
    rng, whole, ends = np.random.default_rng(1), read(), collections.Counter()
    for _ in range(count):
        path = paths[rng.integers(len(paths))]
        content = path.read_bytes()
        path.write_bytes(broken(content, rng, content[::-1]))
        try:
            np.testing.assert_equal(read(), whole)
        except refused as error:
            assert path.stem in str(error) or path.parent.name in str(error), error
            ends["refused"] += 1
        path.write_bytes(content)
    assert ends["refused"] > count / 2


def test_prepared_sets(tmp_path):
    """The whole pixels, or an error: never fewer faces, and never other ones."""
    save_photos(tmp_path / "photos", 12)
    datasets.prepare(tmp_path / "photos", tmp_path / "faces")

    def read():
        return dataclasses.asdict(datasets.load(tmp_path / "faces", runtime.PROFILES["full"]))

    check(sorted((tmp_path / "faces").iterdir()), 150, read, (ValueError, FileNotFoundError))


def test_weights(tmp_path, monkeypatch):
    """Shipped ones, and a Keras file of one's own."""
    from srlib import pretrained  # here, for TensorFlow's memory is not that of the images

    shutil.copytree(pretrained.FOLDER, tmp_path / "weights")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    pretrained.load("srcnn").save(tmp_path / "mine.keras")
    check([tmp_path / "weights" / "srcnn.npz"], 20, lambda: pretrained.load("srcnn").get_weights())
    check([tmp_path / "mine.keras"], 20, lambda: pretrained.load(str(tmp_path / "mine.keras")).get_weights())


def test_checkpoints(tmp_path):
    import keras

    from srlib import checkpoints, models, training

    trainer = training.PixelTrainer(models.srcnn())
    trainer.compile(keras.optimizers.Adam(1e-3))
    checkpoints.save(tmp_path, trainer, 4, {})

    def read():
        for variable in trainer.state():
            variable.assign(variable * 0)
        checkpoints.restore(tmp_path / "step-4", trainer)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, trainer.state())

    check(sorted(tmp_path.glob("step-4.*")), 60, read)


def test_submissions(tmp_path, capsys):
    """Every file is listed, whatever is in it."""
    pytest.importorskip("srlib.commands.collect")
    rng, chapter = (
        np.random.default_rng(2),
        (pathlib.Path(__file__).parent.parent / "notebooks/03_losses.ipynb").read_bytes(),
    )
    for index in range(40):
        (tmp_path / f"student-{index:02d}.ipynb").write_bytes(broken(chapter, rng, chapter[::-1]))
    assert not commands.main(["collect", str(tmp_path)])
    said = capsys.readouterr().out
    assert all(f"student-{index:02d}.ipynb: " in said for index in range(40))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for large in pathlib.Path(sys.argv[2]).glob("large.png"):
        assert photos.read_image(large).shape == (10_000, 6_000, 3)
    read_broken_images(pathlib.Path(sys.argv[2]), int(sys.argv[1]))
