#!/usr/bin/python3
"""bin/train against keras_reference.py: the loss of each epoch to 1e-4, from the same weights and the same order."""

import json
import math
import os
import sys
import tempfile
import unittest

import h5py
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = os.environ.get("TRAIN", "bin/train")
ROWS, TEST_ROWS, DIM, CLASSES = 403, 90, 40, 10


class KerasFit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.cache = os.path.join(cls.folder.name, "features.h5")
        cls.train = keras.make_rows(ROWS, DIM, CLASSES, seed=1)
        cls.test = keras.make_rows(TEST_ROWS, DIM, CLASSES, seed=2)
        keras.write_cache(cls.cache, cls.train, cls.test, CLASSES)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_train(self, cache, *options):
        head = os.path.join(self.folder.name, "head.h5")
        command = [TRAIN, "--json=-", "--output=" + head, *options, cache]
        done = machine.run(command)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), head

    def assert_near(self, got, want, what):
        self.assertTrue(abs(got - want) <= 1e-4 * abs(want), f"{what}: {got} instead of {want}")

    def compare(self, optimizer, options, epochs=6, batch_size=128, validation_split=0.0, l2=0.0, seed=0,
                cache=None, train=None, test=None, classes=CLASSES, standardize=False, patience=0, balanced=False,
                schedule=None):
        (x, y), (test_x, test_y) = train or self.train, test or self.test
        fitted_x = x
        if standardize:
            mean, deviation = keras.moments(x[:keras.split_at(len(y), validation_split)])
            fitted_x = (x - mean) / deviation
            options = ["--standardize", *options]
        class_weight = None
        if balanced:
            counts = np.bincount(y[:keras.split_at(len(y), validation_split)], minlength=classes)
            class_weight = counts.sum() / (np.maximum(counts, 1) * (counts > 0).sum())
            options = ["--class-weights=balanced", *options]
        history, kernel, bias = keras.fit(fitted_x, y, classes, optimizer, epochs, batch_size, validation_split, l2, seed,
                                          patience, class_weight, schedule)
        if patience:
            options = [f"--early-stopping={patience}", *options]
            self.assertLess(len(history), epochs, "it should stop early")
            epochs_done = len(history)
        else:
            epochs_done = epochs
        penalty = l2 * (kernel ** 2).sum()
        if standardize:
            kernel = kernel / deviation[:, None]
            bias = bias - mean @ kernel
        result, head = self.run_train(cache or self.cache, f"--epochs={epochs}", f"--batch-size={batch_size}",
                                      f"--validation-split={validation_split}", f"--l2={l2}", f"--seed={seed}",
                                      *options)
        self.assertEqual(result["epochs"], epochs_done)
        self.assertEqual([line["epoch"] for line in result["history"]], list(range(1, epochs_done + 1)))
        for line in result["history"] if schedule else []:
            self.assertAlmostEqual(line["learning_rate"], schedule(line["epoch"] - 1), 12)
        cut = keras.split_at(len(y), validation_split)
        for line, (loss, accuracy, val_loss, val_accuracy) in zip(result["history"], history):
            where = f"epoch {line['epoch']}"
            self.assert_near(line["loss"], loss, where + " loss")
            self.assertLessEqual(abs(line["accuracy"] - accuracy) * cut, 1.001, where)
            if validation_split:
                self.assert_near(line["val_loss"], val_loss, where + " val_loss")
                self.assertLessEqual(abs(line["val_accuracy"] - val_accuracy) * (len(y) - cut), 1.001, where)
            else:
                self.assertIsNone(line["val_loss"])
        for name, (features, labels) in (("train", (x, y)), ("test", (test_x, test_y))):
            loss, accuracy = keras.evaluate(kernel, bias, features.astype(float), labels)
            self.assert_near(result[name]["loss"], loss + penalty, name)
            self.assertLessEqual(abs(result[name]["accuracy"] - accuracy) * len(labels), 1.001)
            self.assertEqual(result[name]["rows"], len(labels))
        if validation_split:
            self.assertEqual(result["validation"]["rows"], len(y) - cut)
            want = min(line[2] for line in history) if patience else history[-1][2]
            self.assert_near(result["validation"]["loss"], want, "validation")
        else:
            self.assertIsNone(result["validation"])
        self.assertLess(history[-1][0], history[0][0], "the reference itself does not learn")
        self.check_head(head, kernel, bias)

    def check_head(self, head, kernel, bias):
        """Reads the file as keras.legacy.saving.legacy_h5_format does: by layer_names and weight_names."""
        with h5py.File(head, "r") as file:
            layers = [name.decode() for name in file.attrs["layer_names"]]
            self.assertEqual(layers, ["dense"])
            names = [name.decode() for name in file["dense"].attrs["weight_names"]]
            self.assertEqual(names, ["dense/kernel:0", "dense/bias:0"])
            got = [file["dense"][name][:] for name in names]
        self.assertEqual([array.dtype for array in got], [np.float32, np.float32])
        self.assertEqual(got[0].shape, kernel.shape)
        self.assertLess(np.abs(got[0] - kernel).max(), 2e-4 * max(1, np.abs(kernel).max()))
        self.assertLess(np.abs(got[1] - bias).max(), 2e-4 * max(1, np.abs(bias).max()))

    def test_adam(self):
        self.compare(keras.Adam(), [], validation_split=0.2)

    def test_adam_without_validation(self):
        self.compare(keras.Adam(), [], validation_split=0.0)

    def test_adam_with_its_own_rate_and_seed(self):
        self.compare(keras.Adam(0.01), ["--learning-rate=0.01"], seed=987654321, validation_split=0.25)

    def test_many_epochs(self):
        self.compare(keras.Adam(), [], epochs=40, batch_size=32, validation_split=0.2)

    def test_sgd(self):
        self.compare(keras.SGD(), ["--optimizer=sgd"], validation_split=0.2)

    def test_momentum(self):
        self.compare(keras.SGD(0.02, 0.9), ["--optimizer=sgd", "--momentum=0.9", "--learning-rate=0.02"],
                     validation_split=0.2)

    def test_nesterov(self):
        self.compare(keras.SGD(0.02, 0.9, True),
                     ["--optimizer=sgd", "--momentum=0.9", "--learning-rate=0.02", "--nesterov"],
                     validation_split=0.2)

    def test_l2(self):
        self.compare(keras.Adam(), [], l2=0.01, validation_split=0.2)

    def test_l2_with_sgd_and_momentum(self):
        self.compare(keras.SGD(0.01, 0.5), ["--optimizer=sgd", "--momentum=0.5"], l2=0.003)

    def test_standardize(self):
        """Features of very different means and deviations, some constant; the head is compared for raw features."""
        random = np.random.default_rng(5)
        scale, offset = 10.0 ** random.integers(-2, 3, DIM), random.normal(size=DIM)
        train, test = (((x * scale + offset * scale).astype(np.float32), y) for x, y in (self.train, self.test))
        for x, _ in (train, test):
            x[:, 3], x[:, 4] = 0, 7.25
        cache = os.path.join(self.folder.name, "scales.h5")
        keras.write_cache(cache, train, test, CLASSES)
        for l2 in (0, 0.01):
            with self.subTest(l2=l2):
                self.compare(keras.Adam(), [], validation_split=0.2, l2=l2, cache=cache, train=train, test=test,
                             standardize=True)
                with h5py.File(os.path.join(self.folder.name, "head.h5"), "r") as file:
                    kernel = file["dense/dense/kernel:0"][:]
                    self.assertEqual(file.attrs["standardized"], 1)
                self.assertEqual(np.abs(kernel[3:5]).max(), 0)
                self.assertGreater(np.abs(np.delete(kernel, (3, 4), 0)).max(axis=1).min(), 0)

    def test_early_stopping(self):
        for patience in (1, 5):
            with self.subTest(patience=patience):
                self.compare(keras.Adam(0.02), ["--learning-rate=0.02"], epochs=100, batch_size=32,
                             validation_split=0.2, patience=patience)

    def test_class_weights(self):
        """Rare classes, and one that does not occur among the fitted rows."""
        random = np.random.default_rng(8)
        x, y = keras.make_rows(2000, DIM, CLASSES, seed=11, noise=2.0)
        keep = (random.random(2000) < 1 / (1 + y)) & (y != 7)
        train = x[keep], y[keep]
        cache = os.path.join(self.folder.name, "rare.h5")
        keras.write_cache(cache, train, self.test, CLASSES)
        self.compare(keras.Adam(), [], validation_split=0.2, l2=0.001, cache=cache, train=train, balanced=True)
        self.compare(keras.SGD(0.02, 0.9), ["--optimizer=sgd", "--momentum=0.9", "--learning-rate=0.02"],
                     batch_size=50, cache=cache, train=train, balanced=True)

    def test_schedules(self):
        self.compare(keras.Adam(), ["--schedule=cosine", "--learning-rate=0.02"], epochs=9, validation_split=0.2,
                     schedule=lambda e: 0.02 * (1 + math.cos(math.pi * e / 9)) / 2)
        self.compare(keras.SGD(0, 0.9), ["--optimizer=sgd", "--momentum=0.9", "--schedule=step", "--step-epochs=3",
                                         "--step-factor=0.25", "--learning-rate=0.05"], epochs=8,
                     schedule=lambda e: 0.05 * 0.25 ** (e // 3))
        self.compare(keras.Adam(), ["--schedule=step", "--step-epochs=2"], schedule=lambda e: 0.001 * 0.1 ** (e // 2))
        self.compare(keras.Adam(), ["--schedule=constant"], schedule=lambda e: 0.001)

    def test_batch_sizes(self):
        for batch_size in (1, 7, 100, 403, 5000):  # 403 = 4 * 100 + 3; and one batch larger than all rows
            with self.subTest(batch_size=batch_size):
                self.compare(keras.Adam(), [], epochs=3, batch_size=batch_size)

    def test_shapes(self):
        """Dimensions and classes below, at and above the kernels' 16, more pieces than one, blocks within a batch."""
        for dim, classes, rows in ((1, 2, 50), (15, 16, 130), (17, 17, 130), (300, 33, 700), (1031, 3, 600),
                                   (5, 300, 900)):
            with self.subTest(dim=dim, classes=classes):
                cache = os.path.join(self.folder.name, "shape.h5")
                train, test = (keras.make_rows(n, dim, classes, seed=n) for n in (rows, 31))
                keras.write_cache(cache, train, test, classes, block_rows=32)
                self.compare(keras.Adam(0.002), ["--learning-rate=0.002"], epochs=3, batch_size=300,
                             validation_split=0.1, l2=0.001, cache=cache, train=train, test=test, classes=classes)

    def test_instruction_sets(self):
        ran = 0
        for isa in ("generic", "avx2", "avx512"):
            with self.subTest(isa=isa):
                os.environ["VGGCACHE_ISA"] = isa
                try:
                    probe = machine.run([TRAIN, "--epochs=1", "-o", os.path.join(self.folder.name, "probe.h5"),
                                         self.cache])
                    if probe.returncode == 1 and "lacks" in probe.stderr:
                        continue
                    self.compare(keras.Adam(), [], validation_split=0.2, l2=0.001)
                    self.compare(keras.SGD(0.02, 0.9, True), ["--optimizer=sgd", "--momentum=0.9", "--nesterov",
                                                             "--learning-rate=0.02"])
                    ran += 1
                finally:
                    del os.environ["VGGCACHE_ISA"]
        self.assertGreater(ran, 0)

    def test_predictions(self):
        """The CSV against softmax in float64, from the saved weights."""
        _, head = self.run_train(self.cache, "--epochs=3")
        done = machine.run([TRAIN, "--predict=" + head, self.cache])
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "split,row,label,predicted," + ",".join(f"p{c}" for c in range(CLASSES)))
        self.assertEqual(len(lines), 1 + ROWS + TEST_ROWS)
        with h5py.File(head, "r") as file:
            kernel, bias = file["dense/dense/kernel:0"][:].astype(float), file["dense/dense/bias:0"][:].astype(float)
        at = 1
        for name, (features, labels) in (("train", self.train), ("test", self.test)):
            p = np.exp(keras.log_softmax(features.astype(float) @ kernel + bias))
            for row in range(len(labels)):
                fields = lines[at].split(",")
                self.assertEqual(fields[:3], [name, str(row), str(labels[row])])
                got = np.array([float(field) for field in fields[4:]])
                self.assertLess(np.abs(got - p[row]).max(), 1e-5)
                self.assertEqual(int(fields[3]), got.argmax())
                at += 1


if __name__ == "__main__":
    unittest.main()
