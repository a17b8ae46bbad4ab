"""Two thousand ways to break an image file: every file is decoded or refused by name, fast, in bounded memory.

    python tests/test_fuzz.py 2500

runs that many mutations and prints how they ended; the test stops after a fixed time.
"""

import io
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from srlib import data, runtime

LONGEST = 5.0  # seconds for one file
MEMORY = 1_500  # megabytes of the process at its peak; MAX_PIXELS as RGB alone are 192
KINDS = ("flip bits", "truncate", "wrong suffix", "random bytes", "splice", "huge size", "overwrite the header")


def originals():
    """Small valid files of every kind that the loader takes: bytes by suffix and mode."""
    y, x = np.mgrid[:140, :150]
    rgb = Image.fromarray(np.stack([x, y, (x + y) // 2], -1).astype("uint8"))
    levels = Image.fromarray((np.arange(140 * 150).reshape(140, 150) * 3).astype("uint16"))
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = [
        ("jpg", rgb, {"exif": exif}), ("jpg", rgb.convert("CMYK"), {}), ("jpg", rgb, {"progressive": True}), ("png", rgb, {}),
        ("png", rgb.convert("RGBA"), {}), ("png", rgb.quantize(32), {}), ("png", levels, {}), ("bmp", rgb, {}), ("webp", rgb, {}),
        ("tiff", rgb, {}), ("tiff", rgb, {"compression": "tiff_lzw"}), ("tif", levels, {}), ("png", rgb.convert("1"), {}),
    ]  # fmt: skip
    files = []
    for suffix, picture, options in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix), **options)
        files.append((suffix, buffer.getvalue()))
    return files


def bomb(rng):
    """A PNG or BMP of a few bytes that declares up to 2 billion pixels."""
    width, height = (int(side) for side in rng.integers(1, 1 << int(rng.integers(10, 31)), 2))
    if rng.random() < 0.5:
        return "bmp", b"BM" + struct.pack("<IHHI", 200, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks)
    return "png", b"\x89PNG\r\n\x1a\n" + body


def mutate(files, rng):
    """One broken file: (how, suffix, bytes)."""
    how = KINDS[rng.integers(len(KINDS))]
    suffix, content = files[rng.integers(len(files))]
    content = bytearray(content)
    if how == "flip bits":
        for place in rng.integers(0, len(content), int(rng.integers(1, 30))):
            content[place] ^= 1 << int(rng.integers(8))
    elif how == "truncate":
        content = content[: int(rng.integers(len(content)))]
    elif how == "wrong suffix":
        suffix = sorted(data.SUFFIXES)[rng.integers(len(data.SUFFIXES))][1:]
    elif how == "random bytes":
        content = rng.bytes(int(rng.integers(5_000)))
    elif how == "splice":
        other = files[rng.integers(len(files))][1]
        cut = int(rng.integers(min(len(content), len(other))))
        content = content[:cut] + other[cut:]
    elif how == "huge size":
        suffix, content = bomb(rng)
    else:
        place = int(rng.integers(0, 40))
        content[place : place + 8] = rng.bytes(8)
    return how, suffix, bytes(content)


def fuzz(folder, count, seconds, seed=0):
    """Read mutated files until `count` or the time is reached; returns {how: [decoded, refused]}, slowest, read."""
    rng, files = np.random.default_rng(seed), originals()
    ends, slowest, started, read = {how: [0, 0] for how in KINDS}, (0.0, ""), time.perf_counter(), 0
    while read < count and time.perf_counter() - started < seconds:
        how, suffix, content = mutate(files, rng)
        path = pathlib.Path(folder) / f"broken-{read:05d}.{suffix}"
        path.write_bytes(content)
        begun = time.perf_counter()
        try:
            image = data.read_image(path)
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0
            assert image.shape[0] * image.shape[1] <= data.MAX_PIXELS
            ends[how][0] += 1
        except ValueError as error:  # anything else is a crash, and fails
            assert path.name in str(error) and "Replace or remove" in str(error), error
            ends[how][1] += 1
        slowest = max(slowest, (time.perf_counter() - begun, f"{how}, {path.name}"))
        path.unlink()
        read += 1
    return ends, slowest, read


def main(count, seconds):
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        ends, slowest, read = fuzz(folder, count, seconds)
    for how, (decoded, refused) in ends.items():
        print(f"{how:22s} decoded {decoded:5d}  refused by name {refused:5d}")
    print(f"{read} files in {time.perf_counter() - started:.0f} s; slowest {slowest[0]:.2f} s ({slowest[1]}); peak {runtime.peak_memory():.0f} MB")
    assert sum(map(sum, ends.values())) == read and slowest[0] < LONGEST and not runtime.peak_memory() > MEMORY  # NaN on Windows


def test_mutated_files_are_decoded_or_refused_by_name():
    """In a process of its own, so that its peak memory is known; 20 seconds, up to 600 files."""
    run = subprocess.run(
        [sys.executable, __file__, "600", "20"], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent.parent)},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    assert int(run.stdout.splitlines()[-1].split()[0]) >= 50, run.stdout


def test_a_folder_names_every_broken_file(tmp_path):
    rng, files = np.random.default_rng(1), originals()
    for index in range(12):
        (tmp_path / f"good-{index:02d}.png").write_bytes(files[3][1])
    broken = []
    while len(broken) < 7:
        path = tmp_path / f"bad-{len(broken)}.jpg"
        path.write_bytes(rng.bytes(500))
        broken.append(path.name)
    with pytest.raises(ValueError) as error:
        data.prepare(sorted(tmp_path.iterdir()))
    said = str(error.value)
    assert said.startswith("7 of 19 images") and all(name in said for name in broken[:5]) and "2 more" in said


def test_a_large_photo_is_read_in_bounded_memory(tmp_path):
    """Sixty megapixels, the most that the limit lets through: decoded, turned upright, converted."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (10_000, 6_000)).save(tmp_path / "large.png", exif=exif)
    code = f"from srlib import data, runtime; print(data.read_image({str(tmp_path / 'large.png')!r}).shape, runtime.peak_memory() > {MEMORY})"
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(data.__file__).parent.parent)}
    assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True) == "(10000, 6000, 3) False\n"
    Image.new("1", (10_000, 7_000)).save(tmp_path / "larger.png")
    with pytest.raises(ValueError, match="larger.png.*10000x7000 pixels; the limit is 64,000,000"):
        data.read_image(tmp_path / "larger.png")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 3600)
