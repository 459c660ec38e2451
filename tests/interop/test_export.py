#!/usr/bin/python3
"""bin/train --export, read back by NumPy and scikit-learn: every number is the cache's, bit for bit."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np
from sklearn.datasets import load_svmlight_file

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = os.path.abspath(os.environ.get("TRAIN", "bin/train"))
NPY = [f"x-{split}-{what}.npy" for split in ("test", "train") for what in ("features", "labels")]
SVMLIGHT = ["x-test.svmlight", "x-train.svmlight"]
# (dim, classes, rows, test rows, block_rows): one of each; blocks that fit and do not; a chunk of 16 MiB and more
SHAPES = ((1, 2, 1, 1, 64), (40, 10, 300, 70, 64), (17, 300, 128, 64, 64), (33, 256, 129, 1, 1), (2100, 10, 4500, 3, 100))


class Export(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_cache(self, dim=40, classes=10, rows=300, test_rows=70, block_rows=64, change=None):
        data = [keras.make_rows(count, dim, classes, count) for count in (rows, test_rows)]
        if change:
            change(data[0][0])
        keras.write_cache(self.path("features.h5"), *data, classes, block_rows)
        return dict(zip(("train", "test"), data))

    def train(self, *options, **more):
        return machine.run([TRAIN, *options], cwd=self.folder, **more)

    def export(self, form):
        before = set(os.listdir(self.folder))
        done = self.train("--export=" + form, "-o", "x", "features.h5")
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertRegex(done.stderr, rf"^train: [\d,]+ training rows and [\d,]+ test rows were exported as x-\*\.{form}\n$")
        return sorted(set(os.listdir(self.folder)) - before)

    def same_bits(self, got, wanted):
        self.assertEqual((got.dtype, got.shape), (wanted.dtype, wanted.shape))
        np.testing.assert_array_equal(got.view(f"u{got.itemsize}"), wanted.view(f"u{got.itemsize}"))

    def check_npy(self, classes):
        with h5py.File(self.path("features.h5"), "r") as cache:
            for split in ("train", "test"):
                features = np.load(self.path(f"x-{split}-features.npy"), mmap_mode="r", allow_pickle=False)
                labels = np.load(self.path(f"x-{split}-labels.npy"), allow_pickle=False)
                self.assertTrue(features.flags.c_contiguous)
                self.assertEqual(features.offset % 64, 0)
                self.assertEqual(labels.dtype, np.uint8 if classes <= 256 else np.uint16)
                self.same_bits(features, cache[split]["features"][:])
                self.same_bits(labels, cache[split]["labels"][:])

    def check_svmlight(self, dim):
        with h5py.File(self.path("features.h5"), "r") as cache:
            for split in ("train", "test"):
                features, labels = load_svmlight_file(self.path(f"x-{split}.svmlight"), n_features=dim, zero_based=False,
                                                      dtype=np.float32)
                wanted = cache[split]["features"][:]
                self.assertEqual(features.nnz, np.count_nonzero(wanted), "zeros are left out")
                self.same_bits(features.toarray(), np.where(wanted == 0, np.float32(0), wanted))
                np.testing.assert_array_equal(labels, cache[split]["labels"][:])

    def test_npy(self):
        for dim, classes, *rows in SHAPES:
            with self.subTest(dim=dim, classes=classes):
                self.write_cache(dim, classes, *rows)
                for name in NPY:
                    if os.path.exists(self.path(name)):
                        os.unlink(self.path(name))
                self.assertEqual(self.export("npy"), NPY)
                self.check_npy(classes)

    def test_svmlight(self):
        for dim, classes, *rows in SHAPES:
            with self.subTest(dim=dim, classes=classes):
                self.write_cache(dim, classes, *rows)
                for name in SVMLIGHT:
                    if os.path.exists(self.path(name)):
                        os.unlink(self.path(name))
                self.assertEqual(self.export("svmlight"), SVMLIGHT)
                self.check_svmlight(dim)

    def test_numbers_at_the_limits(self):
        def change(features):
            features[0, :9] = [1e-45, -1e-45, 1.17549435e-38, 3.4028235e38, -3.4028235e38, -0.0, 1 / 3, 16777217, 1e-10]
            bits = np.random.default_rng(5).integers(0, 2**32, features[1:].size, dtype=np.uint32)
            any_float = bits.view(np.float32).reshape(features[1:].shape)
            features[1:] = np.where(np.isfinite(any_float), any_float, 1)
        self.write_cache(change=change)
        self.export("npy")
        self.check_npy(10)
        self.export("svmlight")
        self.check_svmlight(40)

    def test_svmlight_text(self):
        """The lines themselves: what LIBLINEAR asks for is one space, indices that rise, and no spare blank."""
        data = self.write_cache()
        self.export("svmlight")
        with open(self.path("x-test.svmlight")) as file:
            lines = file.read().split("\n")
        self.assertEqual(lines.pop(), "")
        for line, row, label in zip(lines, *data["test"], strict=True):
            wanted = [f"{i + 1}:{float(x):.9g}" for i, x in enumerate(row) if x != 0]
            self.assertEqual(line, " ".join([str(label)] + wanted))

    def test_not_finite(self):
        for value in (np.nan, np.inf, -np.inf):
            def change(features):
                features[130, 7] = value
            self.write_cache(change=change)
            self.refused(1, ["feature 7 of train row 130 is not a finite number", "npy"], "--export=svmlight", "-o", "x")
            self.export("npy")
            self.check_npy(10)
            for name in NPY:
                os.unlink(self.path(name))

    def test_files_are_replaced(self):
        self.write_cache()
        for name in NPY + SVMLIGHT:
            with open(self.path(name), "w") as file:
                file.write("old")
        self.export("npy")
        self.export("svmlight")
        self.check_npy(10)
        self.check_svmlight(40)

    def test_quiet(self):
        self.write_cache()
        done = self.train("-q", "--export=npy", "-o", "x", "features.h5")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    # ---- refusals ----

    def refused(self, status, words, *options, cache="features.h5", **more):
        before = sorted(os.listdir(self.folder))
        done = self.train(*options, cache, **more)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_wrong_command_lines(self):
        self.write_cache()
        for words, *options in ((["--export=csv", "npy, svmlight, onnx or keras"], "--export=csv", "-o", "x"),
                                (["--export=", "npy, svmlight, onnx or keras"], "--export=", "-o", "x"),
                                (["--export needs an --output"], "--export=npy"),
                                (["--export needs an --output"], "--export=npy", "--output="),
                                (["cannot go to standard output"], "--export=npy", "-o", "-"),
                                (["exclude each other"], "--export=npy", "-o", "x", "--evaluate=head.h5"),
                                (["exclude each other"], "--export=npy", "-o", "x", "--predict=head.h5"),
                                (["--epochs does not go with --export"], "--export=npy", "-o", "x", "--epochs=3"),
                                (["--logdir does not go with --export"], "--export=npy", "-o", "x", "--logdir=y"),
                                (["--json does not go with --export"], "--export=npy", "-o", "x", "--json=y"),
                                (["--threads does not go with --export"], "--export=npy", "-o", "x", "-j2")):
            with self.subTest(options=options):
                self.refused(2, words, *options)

    def test_caches_that_are_not_whole(self):
        data = self.write_cache()
        keras.write_cache(self.path("half.h5"), data["train"], data["test"], complete=False, progress=(128, 0))
        with h5py.File(self.path("features.h5"), "r") as file:
            offset = file["test/features"].id.get_offset()
        with open(self.path("features.h5"), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))
        for form in ("npy", "svmlight"):
            self.refused(1, ["features.h5", "rows 0 to 63 of test are damaged"], "--export=" + form, "-o", "x")
            self.refused(1, ["half.h5: not finished"], "--export=" + form, "-o", "x", cache="half.h5")
            self.refused(1, ["none.h5"], "--export=" + form, "-o", "x", cache="none.h5")

    def test_places_to_write_to(self):
        self.write_cache()
        self.refused(1, ["none/x-train-features.npy", "No such file"], "--export=npy", "-o", "none/x")
        os.mkdir(self.path("x-test.svmlight"))
        self.refused(1, ["x-test.svmlight", "directory"], "--export=svmlight", "-o", "x")

    def test_the_cache_is_never_replaced(self):
        self.write_cache()
        with open(self.path("features.h5"), "rb") as file:
            before = file.read()
        os.link(self.path("features.h5"), self.path("x-test-labels.npy"))
        self.refused(1, ["x-test-labels.npy: is the cache", "--output"], "--export=npy", "-o", "x")
        os.symlink("features.h5", self.path("y-train.svmlight"))
        self.refused(1, ["y-train.svmlight: is the cache"], "--export=svmlight", "-o", "y")
        with open(self.path("features.h5"), "rb") as file:
            self.assertEqual(file.read(), before)

    def test_full_disk(self):
        def limit(room):
            return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        self.write_cache()
        if self.train("--version", preexec_fn=limit(0)).returncode != 0:
            self.skipTest("LLVM's OpenMP itself writes a file before main() begins")
        for form in ("npy", "svmlight"):
            for room in (0, 1, 127, 128, 5000, 40000):
                with self.subTest(form=form, room=room):
                    self.refused(1, ["x-", "cannot write", "File too large"], "--export=" + form, "-o", "x",
                                 preexec_fn=limit(room))

    def test_interrupt(self):
        """Text for millions of features takes its time: a signal ends it, and nothing stays behind."""
        rows = np.random.default_rng(1).random((2500, 4000), np.float32)
        keras.write_cache(self.path("features.h5"), (rows, np.zeros(len(rows), int)), (rows[:5], np.zeros(5, int)),
                          block_rows=100)

        def launch():
            for name in set(os.listdir(self.folder)) - {"features.h5"}:
                os.unlink(self.path(name))
            return subprocess.Popen([TRAIN, "--export=svmlight", "-o", "x", "features.h5"], cwd=self.folder,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def at_work():  # of some 130 MB
            names = [name for name in os.listdir(self.folder) if name.startswith("x-train.svmlight.")]
            return any(0 < os.path.getsize(self.path(name)) < 50e6 for name in names)

        process = machine.stopped(launch, at_work)
        _, errors = machine.go_on(process, signal.SIGTERM)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, errors)
        self.assertEqual(errors.splitlines()[-1], "train: interrupted; nothing was exported")
        self.assertEqual(os.listdir(self.folder), ["features.h5"])


if __name__ == "__main__":
    unittest.main()
