#!/usr/bin/env python3
"""common/images/resize.c against cv2.resize(INTER_LINEAR): not one pixel may differ."""

import subprocess
import unittest

import cv2
import numpy as np

import helpers
from helpers import BUILD, SEED, SLOW

TOOL = BUILD / "tests" / "interop" / "resize_tool"
compared = 0


def images_of(rng, count, height, width):
    """Noise, extremes only, gradients, and few levels, in turn."""
    images = rng.integers(0, 256, (count, height, width)).astype(np.uint8)
    images[1::4] = np.where(images[1::4] > 127, 255, 0)
    images[2::4] = (np.add.outer(np.arange(height) * 7, np.arange(width) * 3) % 256).astype(np.uint8)
    images[3::4] //= 64
    return images


class Resize(unittest.TestCase):
    def check(self, images, size):
        global compared
        count, height, width = images.shape
        result = subprocess.run([TOOL, str(height), str(width), str(size), str(count)], input=images.tobytes(),
                                stdout=subprocess.PIPE, check=True)
        self.assertEqual(len(result.stdout), count * size * size)
        found = np.frombuffer(result.stdout, np.uint8).reshape(count, size, size)
        wanted = helpers.resize_all(images, size)
        differing = np.argwhere(found != wanted)
        if len(differing):
            i, y, x = differing[0]
            self.fail(f"{height}x{width} -> {size}: {len(differing)} of {found.size} pixels differ (seed {SEED}), the first "
                      f"in image {i} at ({y}, {x}): {found[i, y, x]} instead of {wanted[i, y, x]}")
        compared += found.size

    def test_chosen_sizes(self):
        rng = np.random.default_rng(SEED)
        for height, width, size in [
                (28, 28, 56), (28, 28, 28), (28, 28, 32), (28, 28, 48), (28, 28, 57), (28, 28, 64), (28, 28, 75),
                (28, 28, 224), (32, 32, 56), (56, 56, 56), (112, 112, 56), (448, 448, 224), (64, 64, 32), (65, 64, 32),
                (64, 65, 32), (66, 66, 33), (112, 56, 56), (56, 112, 56), (56, 28, 56), (28, 56, 56), (100, 75, 56),
                (75, 100, 56), (1, 1, 32), (1, 28, 56), (28, 1, 56), (1, 200, 33), (200, 1, 33), (2, 2, 32), (2, 3, 224),
                (64, 1, 32), (64, 2, 32), (3, 3, 1), (2, 2, 1), (5, 7, 1), (7, 5, 2), (96, 96, 32), (128, 128, 32),
                (480, 640, 224), (299, 301, 224), (4096, 3, 40), (3, 4096, 40), (32, 32, 512)]:
            with self.subTest(height=height, width=width, size=size):
                self.check(images_of(rng, 4 if max(height, width, size) > 200 else 40, height, width), size)

    def test_random_sizes(self):
        rng = np.random.default_rng(SEED + 1)
        for case in range(400 // SLOW):
            largest = 40 if case % 2 else 400
            height, width = (int(n) for n in rng.integers(1, largest, 2))
            size = int(rng.integers(32, 300)) if case % 3 else 2 * height
            if case % 5 == 0:
                height, width = 2 * size, 2 * size  # exactly half
            with self.subTest(height=height, width=width, size=size):
                self.check(images_of(rng, 4, height, width), size)

    def test_all_scales_from_28(self):
        rng = np.random.default_rng(SEED + 2)
        for size in range(1, 257, SLOW):
            with self.subTest(size=size):
                self.check(images_of(rng, 8, 28, 28), size)

    def test_real_digits(self):
        if not helpers.has_digits():
            self.skipTest(f"no real digits in {helpers.ASSETS}")
        images, _ = helpers.real_digits("t10k", 10000 // SLOW)
        for size, count in (56, len(images)), (32, 1000), (75, 1000), (224, 100), (14, 1000):
            with self.subTest(size=size):
                self.check(images[:count], size)

    def test_halving_is_not_the_general_case(self):
        """cv2 averages 2x2 pixels when it halves exactly: the mean of each four, rounded half up."""
        images = images_of(np.random.default_rng(SEED + 3), 8, 64, 64)
        four = images.reshape(8, 32, 2, 32, 2).astype(int).sum(axis=(2, 4))
        self.assertTrue((helpers.resize_all(images, 32) == (four + 2) // 4).all(), "the judge changed")
        self.check(images, 32)

    @classmethod
    def tearDownClass(cls):
        print(f"resize: {compared:,} pixels compared with OpenCV {cv2.__version__}")
        assert compared > 1_000_000 // SLOW, "nothing was compared"


helpers.main(__name__)
