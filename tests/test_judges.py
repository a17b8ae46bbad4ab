"""dlib's two distances on the bundled portraits, and what is said where dlib is missing."""

import sys

import numpy as np
import pytest

from srlib import data, judges, photos

LR, HR = data.pairs(photos.portraits())


@pytest.mark.slow
def test_distances_are_zero_for_equal_images_and_grow_with_what_was_lost():
    pytest.importorskip("dlib")
    half = (HR + data.upscale(LR)) / 2
    flipped = HR[:, :, ::-1]
    turns, table = judges.judge(HR, {"same": HR, "half": half, "bicubic": data.upscale(LR), "mirror": flipped})
    assert np.isfinite(turns).all() and np.all((0 <= turns) & (turns < 0.6))
    assert np.all(table["same"] == 0) and np.all(table["half"] < table["bicubic"])
    assert np.all(table["bicubic"][0] < 0.8) and np.all(table["bicubic"][1] < 8)
    assert judges.distances(*(judges.look(x, judges.find(x)) for x in photos.portraits()))[0] > 0.6  # two persons
    assert np.abs(turns - judges.judge(flipped, {})[0]).max() < 0.1  # left or right does not matter


@pytest.mark.slow
def test_where_no_face_is_found_there_is_no_number():
    pytest.importorskip("dlib")
    faces = np.stack([HR[0], np.full_like(HR[0], 0.5)])
    turns, table = judges.judge(faces, {"same": faces})
    assert np.isfinite(turns[0]) and np.isnan(turns[1]) and np.isnan(table["same"][:, 1]).all()


def test_without_dlib_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    judges.networks.cache_clear()
    with pytest.raises(ImportError, match="pip install dlib-bin face-recognition-models"):
        judges.networks()


def test_the_turn_of_a_head_by_hand():
    landmarks = np.zeros((68, 2))
    landmarks[[0, 16, 30], 0] = 10, 110, 85  # half-way between the middle and the right end
    assert judges.turn(landmarks) == pytest.approx(0.5)
