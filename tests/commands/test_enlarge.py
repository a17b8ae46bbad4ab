"""`srlib enlarge`, and how the commands speak: what a user can mend is one sentence."""

import subprocess
import sys

import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
from PIL import Image

from srlib import inference, photos
from srlib.commands import COMMANDS, main

MODEL = ["--model", "facesr-light"]


@pytest.fixture
def folder(tmp_path):
    """Two photos, one of them turned by its EXIF tag, a broken one, and what a system leaves."""
    for name, shape in (("a.png", (20, 31)), ("b.jpg", (16, 24))):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*shape, 3), "uint8"))
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees
        image.save(tmp_path / name, **({"exif": exif} if name == "b.jpg" else {}))
    (tmp_path / "c.png").write_bytes(b"half a photo")
    (tmp_path / "._a.png").write_bytes(b"not a photo")
    (tmp_path / "d.HEIC").write_bytes(b"a photo that Pillow does not read")
    return tmp_path


def sizes(folder):
    return {path.name: Image.open(path).size for path in folder.glob("*-x4.png")}


def test_a_folder_of_photos_is_enlarged_and_what_cannot_be_is_named(folder, capsys):
    assert main(["enlarge", str(folder), "-o", str(folder / "out"), *MODEL]) == 1
    assert sizes(folder / "out") == {"a-x4.png": (124, 80), "b-x4.png": (64, 96)}
    said = capsys.readouterr().out
    assert "1 not enlarged" in said and "c.png" in said and "._a.png" not in said
    assert "3 photos; 1 of 4 files are not photos that Pillow reads: .heic (1)" in said


def test_one_photo_goes_beside_it_or_where_it_is_told_and_nothing_is_overwritten(folder, capsys):
    assert not main(["enlarge", str(folder / "a.png"), *MODEL])
    expected = inference.enlarge(folder / "a.png", "facesr-light")
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "a-x4.png")), expected)
    assert main(["enlarge", str(folder / "a.png"), *MODEL]) == 1
    assert "a-x4.png exists already" in capsys.readouterr().out
    assert not main(["enlarge", str(folder / "a.png"), "-o", str(folder / "large.jpg"), *MODEL])
    assert Image.open(folder / "large.jpg").format == "JPEG"
    assert main(["enlarge", str(folder / "a.png"), "-o", str(folder / "large.docx"), *MODEL]) == 1
    assert "unknown file extension: .docx" in capsys.readouterr().out


@pytest.mark.slow
def test_faces_are_found_and_cut_as_celeba_cuts_them(tmp_path, capsys):
    collins = skimage.data.astronaut()
    Image.fromarray(collins).save(tmp_path / "collins.png")
    Image.fromarray(np.tile(np.uint8(90), (99, 99, 3))).save(tmp_path / "wall.png")
    assert main(["enlarge", str(tmp_path), "--face", *MODEL]) == 1
    ((name, (width, height)),) = sizes(tmp_path).items()
    assert name == "collins-face1-x4.png" and width == height and "no face was found in" in capsys.readouterr().out
    hopper = photos.read_image(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    for photo, by_hand in ((collins, (126, 0, 323, 197)), (hopper, (62, 0, 474, 412))):
        (box,) = photos.find_faces(photo)
        assert box[2] - box[0] == box[3] - box[1] and min(box) >= 0
        assert np.abs(np.subtract(box, by_hand)).max() < 0.2 * (by_hand[2] - by_hand[0])
    assert photos.find_faces(np.zeros((8, 8, 3), "uint8")) == []


def test_the_commands_speak_in_sentences(tmp_path, capsys):
    for words, code in (([], 0), (["--help"], 0), (["enlrage"], 2)):
        assert main(words) == code
        said = capsys.readouterr().out
        assert all(name in said for name in COMMANDS)
    assert main(["enlarge", "a.png", "--model", "nobody"]) == 1
    assert capsys.readouterr().out.startswith("srlib enlarge: unknown network 'nobody'")
    assert main(["enlarge", str(tmp_path / "missing.png"), *MODEL]) == 1
    assert "does not exist" in capsys.readouterr().out
    run = subprocess.run([sys.executable, "-m", "srlib"], capture_output=True, text=True)
    assert run.returncode == 0 and "enlarge photos four times" in run.stdout
