#!/usr/bin/python3
"""bin/train --optimizer=lbfgs against scikit-learn's LogisticRegression: the same optimum, objective and coefficients."""

import json
import os
import sys
import tempfile
import unittest
import warnings

import h5py
import numpy as np
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = os.environ.get("TRAIN", "bin/train")


def objective(kernel, bias, features, labels, l2):
    return keras.evaluate(kernel, bias, features.astype(float), labels, l2)[0]


def optimum(features, labels, l2, class_weight=None):
    """scikit-learn's, as near as it gets: kernel, bias (of mean 0: a constant on top changes nothing)."""
    model = LogisticRegression(C=1 / (2 * len(labels) * l2), solver="newton-cg", multi_class="multinomial", tol=1e-9,
                               max_iter=1000, class_weight=class_weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a line search that finds nothing more to gain
        model.fit(features.astype(float), labels)
    return model.coef_.T, model.intercept_ - model.intercept_.mean()


class Lbfgs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = os.path.join(folder.name, "features.h5")
        self.head = os.path.join(folder.name, "head.h5")

    def fit(self, *options, env=None):
        """(JSON, kernel, bias, standard error)"""
        done = machine.run([TRAIN, "--optimizer=lbfgs", "--json=-", "-q", "-o", self.head, *options, self.cache],
                           env={**os.environ, **(env or {})})
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(self.head, "r") as file:
            kernel, bias = (file["dense/dense/" + name][:].astype(float) for name in ("kernel:0", "bias:0"))
        return json.loads(done.stdout), kernel, bias, done.stderr

    def compare(self, rows, dim, classes, l2, noise=1.0, validation_split=0.0, standardize=False):
        x, y = train = keras.make_rows(rows, dim, classes, seed=rows, noise=noise)
        test = keras.make_rows(100, dim, classes, seed=rows + 1, noise=noise)
        keras.write_cache(self.cache, train, test, classes)
        cut = keras.split_at(rows, validation_split)
        options = [f"--l2={l2}", "--tolerance=1e-7", "--epochs=3000", f"--validation-split={validation_split}"]
        z, mean, deviation = x[:cut].astype(float), 0, np.ones(dim)
        if standardize:
            options.append("--standardize")
            mean, deviation = keras.moments(x[:cut])
            z = (z - mean) / deviation
        result, kernel, bias, _ = self.fit(*options)
        got_kernel, got_bias = kernel * deviation[:, None], bias + mean @ kernel if standardize else bias
        want_kernel, want_bias = optimum(z, y[:cut], l2)
        got, want = (objective(*weights, z, y[:cut], l2) for weights in ((got_kernel, got_bias),
                                                                         (want_kernel, want_bias)))
        self.assertLessEqual(got, want * (1 + 1e-6))
        self.assertGreaterEqual(got, want * (1 - 1e-6), "scikit-learn stopped too early to be a reference")
        self.assertLessEqual(abs(result["history"][-1]["loss"] - got), 1e-6 * got)
        scale = np.abs(want_kernel).max()
        self.assertLessEqual(np.abs(got_kernel - want_kernel).max(), 1e-3 * scale)
        self.assertLessEqual(np.abs(got_bias - got_bias.mean() - want_bias).max(), 5e-3 * max(1, scale))
        losses = [epoch["loss"] for epoch in result["history"]]
        self.assertTrue(all(b <= a * (1 + 1e-6) + 1e-7 for a, b in zip(losses, losses[1:])), "the objective rose")

    def test_optimum(self):
        self.compare(700, 40, 10, 1e-3)

    def test_little_penalty(self):
        self.compare(2000, 30, 5, 1e-5, noise=2.0)

    def test_standardized(self):
        self.compare(900, 60, 10, 1e-4, standardize=True)

    def test_validation_rows_are_not_fitted(self):
        self.compare(700, 40, 10, 1e-3, validation_split=0.25, standardize=True)

    def test_shapes(self):
        """Features and classes around the kernels' 16, one feature, more rows than a share's block, hundreds of classes."""
        for rows, dim, classes in ((50, 1, 3), (257, 17, 16), (300, 15, 17), (4500, 3, 3), (900, 300, 4), (900, 20, 100)):
            with self.subTest(rows=rows, dim=dim, classes=classes):
                self.compare(rows, dim, classes, 1e-3)

    def test_many_rows(self):
        """The size of the exercise's features, by a fifth: 12,000 rows of 512, standardized."""
        self.compare(12000, 512, 10, 1e-4, noise=2.5, standardize=True)

    def make(self, rows=1500, dim=80, classes=10):
        keras.write_cache(self.cache, keras.make_rows(rows, dim, classes, 1), keras.make_rows(90, dim, classes, 2), classes)

    def test_stopping_rule(self):
        """It stops at the first iteration with |g| <= tolerance * |g at 0|, by the slope computed here."""
        x, y = keras.make_rows(1500, 80, 10, 1)
        self.make()
        l2, onehot = 1e-3, np.eye(10)[y]

        def slope(kernel, bias):
            error = (np.exp(keras.log_softmax(x @ kernel + bias)) - onehot) / len(y)
            return np.sqrt(((x.T @ error + 2 * l2 * kernel) ** 2).sum() + (error.sum(axis=0) ** 2).sum())

        first = slope(np.zeros((80, 10)), np.zeros(10))
        for tolerance in (1e-1, 1e-2, 1e-3, 1e-4):
            options = [f"--tolerance={tolerance}", f"--l2={l2}", "--validation-split=0"]
            result, kernel, bias, _ = self.fit(*options)
            self.assertLessEqual(slope(kernel, bias), tolerance * first * 1.001)
            epochs = result["epochs"]
            self.assertLess(epochs, 200)
            if epochs > 1:
                result, kernel, bias, _ = self.fit(*options, f"--epochs={epochs - 1}")
                self.assertEqual(result["epochs"], epochs - 1)
                self.assertGreater(slope(kernel, bias), tolerance * first * 0.999)

    def test_it_says_how_it_ended(self):
        self.make()
        command = [TRAIN, "--optimizer=lbfgs", "--l2=1e-3", "-o", self.head]
        for options, words in ((["--epochs=3"], "not converged"), ([], "lbfgs: converged"),
                               (["--tolerance=1e-14", "--epochs=5000"], "no step lowers the objective")):
            done = machine.run([*command, *options, self.cache])
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(words, done.stderr)
            self.assertIn("passes over the rows", done.stderr)

    def test_early_stopping(self):
        """The head is that of the iteration with the lowest validation loss."""
        train = keras.make_rows(800, 80, 10, 1, noise=2.5)
        keras.write_cache(self.cache, train, train, 10)
        options = ["--standardize", "--validation-split=0.25"]
        result, *best = self.fit(*options, "--early-stopping=3")
        losses = [epoch["val_loss"] for epoch in result["history"]]
        kept = losses.index(min(losses))
        self.assertEqual(len(losses), kept + 4)
        self.assertEqual(result["validation"]["loss"], losses[kept])
        _, *again = self.fit(*options, f"--epochs={kept + 1}")
        self.assertTrue(all(np.array_equal(a, b) for a, b in zip(best[:2], again[:2])))

    def test_class_weights(self):
        x, y = keras.make_rows(1500, 40, 6, 1, noise=2.0)
        keep = np.random.default_rng(1).random(len(y)) < 1 / (1 + y)
        x, y = x[keep], y[keep]
        keras.write_cache(self.cache, (x, y), (x, y), 6)
        _, kernel, bias, _ = self.fit("--l2=1e-3", "--tolerance=1e-7", "--validation-split=0", "--class-weights=balanced",
                                      "--epochs=2000")
        want_kernel, want_bias = optimum(x, y, 1e-3, "balanced")
        self.assertLessEqual(np.abs(kernel - want_kernel).max(), 1e-3 * np.abs(want_kernel).max())
        self.assertLessEqual(np.abs(bias - bias.mean() - want_bias).max(), 5e-3)
        plain, _ = optimum(x, y, 1e-3)
        self.assertGreater(np.abs(kernel - plain).max(), 0.05 * np.abs(want_kernel).max())

    def test_separable_without_penalty(self):
        """No optimum: the weights grow, and it ends in order."""
        keras.write_cache(self.cache, keras.make_rows(60, 80, 3, 1), keras.make_rows(30, 80, 3, 2), 3)
        result, kernel, _, _ = self.fit("--tolerance=1e-9", "--epochs=300")
        self.assertTrue(np.isfinite(kernel).all())
        self.assertEqual(result["history"][-1]["accuracy"], 1)
        self.assertLess(result["history"][-1]["loss"], 1e-5)

    def test_nothing_to_learn(self):
        """All rows alike: the bias alone counts, and the objective is the entropy of the classes."""
        x, y = np.full((100, 5), 3, np.float32), np.repeat([0, 1], [25, 75])
        keras.write_cache(self.cache, (x, y), (x, y), 2)
        for options in ([], ["--standardize"], ["--standardize", "--l2=0.1"]):
            result, *_ = self.fit("--validation-split=0", "--tolerance=1e-7", *options)
            self.assertAlmostEqual(result["train"]["loss"], -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)), 6)
        keras.write_cache(self.cache, (x * 0, y * 0), (x * 0, y * 0), 1)
        result, kernel, bias, _ = self.fit("--validation-split=0")
        self.assertEqual((result["epochs"], result["train"]["loss"], np.abs(kernel).max(), bias[0]), (1, 0, 0, 0))

    def test_same_bits_for_any_threads(self):
        self.make(rows=5000, dim=300)
        heads = []
        for options in ([], ["--standardize"]):
            for threads in (1, 2, 3, 7, 16):
                self.fit(f"-j{threads}", "--l2=1e-4", "--epochs=30", *options,
                         env={"OMP_NUM_THREADS": str(1 + threads % 3), "OPENBLAS_NUM_THREADS": "2"})
                with open(self.head, "rb") as file:
                    heads.append(file.read())
            self.assertEqual(heads[-5:].count(heads[-1]), 5)
        self.assertNotEqual(heads[0], heads[-1])


if __name__ == "__main__":
    unittest.main()
