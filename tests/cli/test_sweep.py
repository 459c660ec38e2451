#!/usr/bin/python3
"""train --sweep, --folds, --refit and --memory, end to end: each is held against single fits of the same settings, fold
by fold and byte by byte."""

import csv
import glob
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = os.path.abspath(os.environ.get("TRAIN", "bin/train"))
ROWS, TEST_ROWS, DIM, CLASSES = 500, 90, 40, 10
SWEEP = "lr=1e-3,1e-2,3e-2;l2=0,1e-3"
COMBINATIONS = [(rate, l2) for rate in ("1e-3", "1e-2", "3e-2") for l2 in ("0", "1e-3")]


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.master = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.master)
        cls.data = [keras.make_rows(rows, DIM, CLASSES, seed) for rows, seed in ((ROWS, 1), (TEST_ROWS, 2))]
        keras.write_cache(os.path.join(cls.master, "features.h5"), *cls.data)

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copy(os.path.join(self.master, "features.h5"), self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def train(self, *options, **more):
        return machine.run([TRAIN, *options], cwd=self.folder, **more)

    def fitted(self, *options, cache="features.h5"):
        """The JSON of a run that succeeds."""
        done = self.train("--json=x.json", *options, cache)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("x.json")) as file:
            return json.load(file)

    def refused(self, status, words, *options):
        before = sorted(os.listdir(self.folder))
        done = self.train(*options)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertRegex(done.stderr, r"\Atrain: [^\n]+\n\Z")
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def history(self, name):
        """A history file without its seconds."""
        with open(self.path(name)) as file:
            return [{key: value for key, value in line.items() if key != "seconds"} for line in csv.DictReader(file)]

    def assert_same_weights(self, left, right):
        with h5py.File(self.path(left)) as a, h5py.File(self.path(right)) as b:
            for name in ("/dense/dense/kernel:0", "/dense/dense/bias:0"):
                self.assertGreater(a[name].size, 0)
                self.assertTrue((a[name][...].view(np.uint32) == b[name][...].view(np.uint32)).all(), name)


class Sweep(Case):
    def kept(self, history, patience):
        return min(history, key=lambda epoch: epoch["val_loss"]) if patience else history[-1]

    def check(self, extra, patience=False):
        """A sweep against the single fits of all its combinations."""
        single = {}
        for rate, l2 in COMBINATIONS:
            result = self.fitted(*extra, f"--learning-rate={rate}", f"--l2={l2}", f"--output={rate}-{l2}.h5",
                                 f"--history={rate}-{l2}.csv")
            single[float(rate), float(l2)] = (result, f"{rate}-{l2}")
        result = self.fitted(*extra, f"--sweep={SWEEP}", "--history=x.csv")
        ranked = result["sweep"]
        self.assertEqual(list(result), ["settings", "epochs", "seconds", "history", "sweep", "train", "validation", "test"])
        self.assertEqual(sorted((line["learning_rate"], line["l2"]) for line in ranked), sorted(single))
        for line in ranked:
            alone, _ = single[line["learning_rate"], line["l2"]]
            kept = self.kept(alone["history"], patience)
            for name in ("loss", "accuracy", "val_loss", "val_accuracy", "epoch"):
                self.assertEqual(line[name], kept[name], name)
            self.assertIsNone(line["diverged"])
            self.assertIsNone(line["val_accuracy_deviation"])
            self.assertEqual(line["folds"], 1)
        losses = [line["val_loss"] for line in ranked]
        self.assertEqual(losses, sorted(losses))
        self.assertEqual(len(set(losses)), len(losses))
        best, name = single[ranked[0]["learning_rate"], ranked[0]["l2"]]
        self.assertEqual(self.read("head.h5"), self.read(name + ".h5"))
        self.assertEqual(self.history("x.csv"), self.history(name + ".csv"))
        for split in ("train", "validation", "test", "epochs"):
            self.assertEqual(result[split], best[split])
        return ranked

    def test_adam(self):
        self.check(["--epochs=5"])

    def test_sgd_and_threads(self):
        self.check(["--epochs=4", "--optimizer=sgd", "--momentum=0.9", "--nesterov", "--batch-size=50", "--seed=7"])
        heads = []
        for threads in (1, 2, 3, 7):
            self.fitted("--epochs=4", f"--sweep={SWEEP}", f"-j{threads}")
            heads.append(self.read("head.h5"))
        self.assertEqual(heads.count(heads[0]), 4)

    def test_early_stopping(self):
        ranked = self.check(["--epochs=40", "--early-stopping=2", "--standardize", "--class-weights=balanced"], True)
        self.assertTrue(any(line["epoch"] < 40 for line in ranked))

    def test_schedule(self):
        self.check(["--epochs=4", "--schedule=cosine", "--validation-split=0.4"])

    def test_momentum(self):
        result = self.fitted("--epochs=4", "--optimizer=sgd", "--sweep=momentum=0,0.5,0.9")
        best = result["sweep"][0]["momentum"]
        self.assertEqual(sorted(line["momentum"] for line in result["sweep"]), [0, 0.5, 0.9])
        self.fitted("--epochs=4", "--optimizer=sgd", f"--momentum={best}", "--output=one.h5")
        self.assertEqual(self.read("head.h5"), self.read("one.h5"))

    def test_nesterov_with_swept_momentum(self):
        result = self.fitted("--epochs=4", "--optimizer=sgd", "--nesterov", "--sweep=momentum=0.5,0.9")
        best = result["sweep"][0]["momentum"]
        self.fitted("--epochs=4", "--optimizer=sgd", "--nesterov", f"--momentum={best}", "--output=one.h5")
        self.assertEqual(self.read("head.h5"), self.read("one.h5"))
        self.refused(2, "--nesterov needs", "--optimizer=sgd", "--nesterov", "--sweep=momentum=0,0.9", "features.h5")
        self.refused(2, "--nesterov needs", "--optimizer=sgd", "--nesterov", "--sweep=lr=1,0.9", "features.h5")

    def test_lbfgs(self):
        options = ["--optimizer=lbfgs", "--standardize", "--epochs=30"]
        result = self.fitted(*options, "--sweep=l2=1e-4,1e-2,1")
        for line in result["sweep"]:
            self.assertIsNone(line["learning_rate"])
            alone = self.fitted(*options, f"--l2={line['l2']}", "--output=one.h5")
            self.assertEqual(line["val_loss"], alone["history"][-1]["val_loss"])
            if line is result["sweep"][0]:
                self.assertEqual(self.read("head.h5"), self.read("one.h5"))

    def test_divergence(self):
        result = self.fitted("--epochs=3", "--optimizer=sgd", "--l2=1", "--sweep=lr=1e6,1e-3,1e5,1e-2")
        lines = result["sweep"]
        self.assertEqual([line["diverged"] is None for line in lines], [True, True, False, False])
        self.assertEqual([line["learning_rate"] for line in lines[2:]], [1e6, 1e5])
        self.assertIsNone(lines[2]["val_loss"])
        alone = self.train("--epochs=3", "--optimizer=sgd", "--l2=1", "--learning-rate=1e6", "features.h5")
        self.assertIn(f"in epoch {lines[2]['diverged']}", alone.stderr)
        self.fitted("--epochs=3", "--optimizer=sgd", "--l2=1", f"--learning-rate={lines[0]['learning_rate']}",
                    "--output=one.h5")
        self.assertEqual(self.read("head.h5"), self.read("one.h5"))
        before = sorted(os.listdir(self.folder))
        done = self.train("--epochs=3", "--optimizer=sgd", "--l2=1", "--sweep=lr=1e6,1e5", "-o", "new.h5",
                          "features.h5")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--learning-rate=100000", done.stderr.splitlines()[-1])
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_tables(self):
        done = self.train("--epochs=3", f"--sweep={SWEEP}", "features.h5")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("6 heads in", done.stdout)
        lines = done.stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines[1:7]], list("123456"))
        self.assertIn("lr", lines[0].split())
        quiet = self.train("-q", "--epochs=3", f"--sweep={SWEEP}", "features.h5")
        self.assertEqual(quiet.stderr, "")
        self.assertIn("and 5 more", quiet.stdout)

    def test_decimal_comma(self):
        """0,01 is a list of two values; a fit goes on with them, and says so in one line."""
        done = self.train("--epochs=1", "--sweep=l2=0,01", "features.h5")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"\Atrain: --sweep: 01 is taken as 1: [^\n]*\ntrain: the head was saved as head.h5\n\Z")
        done = self.train("--epochs=1", "--sweep=l2=0,0.1", "features.h5")
        self.assertEqual(done.stderr, "train: the head was saved as head.h5\n")

    def test_refit(self):
        for extra in (["--epochs=5"], ["--epochs=5", "--standardize", "--class-weights=balanced"]):
            result = self.fitted(*extra, f"--sweep={SWEEP}", "--refit", "--history=x.csv")
            best = result["sweep"][0]
            alone = self.fitted(*extra, f"--learning-rate={best['learning_rate']}", f"--l2={best['l2']}",
                                "--validation-split=0", "--output=one.h5", "--history=one.csv")
            self.assertEqual(self.read("head.h5"), self.read("one.h5"))
            self.assertEqual(self.history("x.csv"), self.history("one.csv"))
            self.assertIsNone(result["validation"])
            self.assertEqual(result["train"], alone["train"])

    def test_refit_for_as_many_epochs_as_were_best(self):
        result = self.fitted("--epochs=60", "--early-stopping=2", "--sweep=lr=3e-2,1e-1", "--refit")
        best = result["sweep"][0]
        self.assertLess(best["epoch"], 60)
        self.assertEqual(result["epochs"], best["epoch"])
        self.fitted(f"--epochs={best['epoch']}", f"--learning-rate={best['learning_rate']}", "--validation-split=0",
                    "--output=one.h5")
        self.assert_same_weights("head.h5", "one.h5")

    def test_refit_keeps_the_rates_of_the_best_epochs(self):
        result = self.fitted("--epochs=60", "--early-stopping=2", "--sweep=lr=3e-2,1e-1", "--refit", "--schedule=cosine",
                             "--history=x.csv")
        best = result["sweep"][0]
        self.assertLess(best["epoch"], 60)
        rates = [float(line["learning_rate"]) for line in self.history("x.csv")]
        want = [best["learning_rate"] * (1 + math.cos(math.pi * i / 60)) / 2 for i in range(best["epoch"])]
        self.assertEqual(len(rates), len(want))
        for got, expected in zip(rates, want):
            self.assertAlmostEqual(got, expected, delta=1e-6 * expected)

    def test_logdir(self):
        self.fitted("--epochs=3", "--sweep=lr=1e-3,1e-2;l2=0,1e-4", "--logdir=logs", "--histogram-freq=1")
        names = ["lr=0.001,l2=0", "lr=0.001,l2=0.0001", "lr=0.01,l2=0", "lr=0.01,l2=0.0001"]
        self.assertEqual(sorted(os.listdir(self.path("logs"))), names)
        for name in names:
            for part in ("train", "validation"):
                files = glob.glob(glob.escape(os.path.join(self.path("logs"), name, part)) + "/*")
                self.assertEqual(len(files), 1)
                self.assertGreater(os.path.getsize(files[0]), 300)

    def test_logdir_of_values_that_hardly_differ(self):
        self.fitted("--epochs=1", "--sweep=lr=0.001,0.0010000001", "--logdir=logs")
        self.assertEqual(sorted(os.listdir(self.path("logs"))), ["lr=0.001", "lr=0.0010000001"])

    def test_wrong_command_lines(self):
        for words, *options in (
                ("--sweep: '' is not KEY=", "--sweep="),
                ("--sweep: 'lr' is not KEY=", "--sweep=lr"),
                ("lr=x: must be a number", "--sweep=lr=x"),
                ("'dropout' cannot be swept", "--sweep=dropout=0.5"),
                ("momentum does not go with --optimizer=adam", "--sweep=momentum=0.5"),
                ("lr does not go with --optimizer=lbfgs", "--optimizer=lbfgs", "--sweep=lr=1"),
                ("lr is given twice", "--sweep=lr=1;lr=2"),
                ("more than 4096", "--sweep=" + ";".join(f"{key}=" + ",".join(map(str, range(1, 66)))
                                                         for key in ("lr", "l2"))),
                ("--learning-rate is given, and lr", "--sweep=lr=1,2", "--learning-rate=1"),
                ("--l2 is given, and l2", "--l2=0", "--sweep=lr=1;l2=1,2"),
                ("--momentum is given, and momentum", "--optimizer=sgd", "--momentum=0.5", "--sweep=momentum=0.1"),
                ("--refit goes with --sweep", "--refit"),
                ("--sweep needs validation rows", "--sweep=lr=1,2", "--validation-split=0"),
                ("--validation-split does not go with --folds", "--folds=3", "--validation-split=0.3"),
                ("--checkpoint and --logdir do not go with --folds", "--folds=3", "--checkpoint=c"),
                ("--checkpoint and --logdir do not go with --folds", "--folds=3", "--logdir=l"),
                ("--logdir do not go with a --sweep of lbfgs", "--optimizer=lbfgs", "--sweep=l2=0,1", "--logdir=l"),
                ("--folds=1", "--folds=1"), ("--folds=x", "--folds=x"), ("--folds=-2", "--folds=-2"),
                ("--memory=0", "--memory=0"), ("--memory=5X", "--memory=5X"), ("--memory=", "--memory="),
                ("--memory=1.5G", "--memory=1.5G"), ("--memory=-1", "--memory=-1"), ("--memory=1KK", "--memory=1KK"),
                ("--memory=99999999999G", "--memory=99999999999G"),
                ("--sweep does not go with --evaluate", "--evaluate=h.h5", "--sweep=lr=1"),
                ("--folds does not go with --predict", "--predict=h.h5", "--folds=3"),
                ("--refit does not go with --evaluate", "--evaluate=h.h5", "--refit"),
                ("--memory does not go with --export", "--export=npy", "-o", "x", "--memory=1M")):
            with self.subTest(options=options):
                self.refused(2, words, *options, "features.h5")

    def test_interrupt(self):
        for extra in ([], ["--folds=3"], ["--refit"]):
            process = subprocess.Popen([TRAIN, "-v", "--epochs=1000000", "--batch-size=1", "--history=x.csv", "--json=x.json",
                                        f"--sweep={SWEEP}", *extra, "features.h5"], cwd=self.folder,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertIn("read and verified", process.stderr.readline())
            begin = machine.cpu_seconds(process)
            self.assertTrue(machine.wait_for(lambda: machine.cpu_seconds(process) > begin + 0.2, process))
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=machine.PATIENCE)
            self.assertEqual(process.returncode, 130, errors)
            self.assertRegex(errors.splitlines()[-1],
                             r"^train: interrupted in epoch [1-9][0-9]* of 1000000; no head was saved$")
            self.assertEqual(os.listdir(self.folder), ["features.h5"])


class Folds(Case):
    def arranged(self, labels, fold, folds):
        """Rows of the other folds, then those of the fold: dealt in turn, sorted by class."""
        fold_of = np.empty(len(labels), int)
        fold_of[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % folds
        rows = np.arange(len(labels))
        return np.concatenate([rows[fold_of != fold], rows[fold_of == fold]]), int((fold_of == fold).sum())

    def alone(self, fold, folds, *options):
        """The kept epoch of a single fit on a cache whose last rows are those of the fold."""
        features, labels = self.data[0]
        order, held = self.arranged(labels, fold, folds)
        keras.write_cache(self.path("fold.h5"), (features[order], labels[order]), self.data[1])
        result = self.fitted(*options, f"--validation-split={(held - 0.5) / len(labels)!r}", "--output=fold-head.h5",
                             cache="fold.h5")
        self.assertEqual(result["validation"]["rows"], held)
        return result["history"]

    def check(self, folds, sweep, options, patience=False):
        result = self.fitted(*options, f"--folds={folds}", *([f"--sweep={sweep}"] if sweep else []))
        for line in result["sweep"]:
            self.assertEqual(line["folds"], folds)
            settings = [f"--l2={line['l2']}"] if sweep else []
            if sweep and "lbfgs" not in " ".join(options):
                settings.append(f"--learning-rate={line['learning_rate']}")
            kept = []
            for fold in range(folds):
                history = self.alone(fold, folds, *options, *settings)
                kept.append(min(history, key=lambda epoch: epoch["val_loss"]) if patience else history[-1])
            for name in ("loss", "accuracy", "val_loss", "val_accuracy", "epoch"):
                want = sum(epoch[name] for epoch in kept) / folds
                self.assertTrue(math.isclose(line[name], want, rel_tol=1e-12), name)
            want = statistics.stdev(epoch["val_accuracy"] for epoch in kept)
            self.assertTrue(math.isclose(line["val_accuracy_deviation"], want, rel_tol=1e-9, abs_tol=1e-12))
            self.assertGreater(want, 0)
        losses = [line["val_loss"] for line in result["sweep"]]
        self.assertEqual(losses, sorted(losses))
        best = result["sweep"][0]
        settings = [f"--l2={best['l2']}"] if sweep else []
        if sweep and "lbfgs" not in " ".join(options):
            settings.append(f"--learning-rate={best['learning_rate']}")
        if patience:
            options = [option for option in options if "stopping" not in option and "epochs" not in option]
            settings.append(f"--epochs={math.floor(best['epoch'] + 0.5)}")
        self.fitted(*options, *settings, "--validation-split=0", "--output=one.h5")
        self.assert_same_weights("head.h5", "one.h5")

    def test_adam(self):
        self.check(3, "lr=1e-3,1e-2;l2=0,1e-3", ["--epochs=4"])

    def test_without_sweep(self):
        self.check(4, None, ["--epochs=4", "--l2=0.001"])

    def test_standardize_and_weights(self):
        self.check(3, "lr=1e-2;l2=0,1e-2", ["--epochs=4", "--standardize", "--class-weights=balanced"])

    def test_early_stopping(self):
        self.check(3, "lr=3e-2,1e-1;l2=0", ["--epochs=40", "--early-stopping=2"], True)

    def test_lbfgs(self):
        self.check(3, "l2=1e-3,1e-1", ["--optimizer=lbfgs", "--standardize", "--epochs=20"])

    def test_too_many(self):
        small = [keras.make_rows(rows, DIM, CLASSES, 3) for rows in (7, 5)]
        keras.write_cache(self.path("small.h5"), *small)
        self.refused(1, ["--folds=8", "7 training rows"], "--folds=8", "small.h5")
        self.fitted("--folds=7", "--epochs=2", cache="small.h5")


class Memory(Case):
    """Features that stay in the cache; windows are of some hundred rows, so there must be more of them."""
    ROWS, TEST = 3000, 1000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.large = [keras.make_rows(rows, DIM, CLASSES, seed) for rows, seed in ((cls.ROWS, 1), (cls.TEST, 2))]
        keras.write_cache(os.path.join(cls.master, "large.h5"), *cls.large)

    def setUp(self):
        super().setUp()
        shutil.copy(os.path.join(self.master, "large.h5"), self.folder)

    def test_saved_head(self):
        """Results and predictions do not depend on where the rows are."""
        self.fitted("--epochs=3", cache="large.h5")
        outputs = []
        for options in ([], ["--memory=250K"], ["--memory=300K"], ["--memory=400K"], ["--memory=250K", "-j3"]):
            done = self.train("--predict=head.h5", *options, "large.h5")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual("stay in the cache" in done.stderr, bool(options))
            result = self.fitted("--evaluate=head.h5", *options, cache="large.h5")
            outputs.append((done.stdout, result))
        self.assertEqual(outputs.count(outputs[0]), len(outputs))
        self.assertGreater(len(outputs[0][0].splitlines()), self.ROWS)

    def test_fit(self):
        """The same for any number of threads; another head than in memory, but as good a one."""
        fit = ["--epochs=8", "--learning-rate=0.01"]
        whole = self.fitted(*fit, "--output=whole.h5", cache="large.h5")
        for options in ([], ["--standardize", "--class-weights=balanced", "--l2=1e-4"]):
            heads, results = [], []
            for threads in (1, 2, 3, 7):
                result = self.fitted(*fit, "--memory=300K", f"-j{threads}", *options, cache="large.h5")
                heads.append(self.read("head.h5"))
                results.append([result["train"], result["validation"], result["test"]])
            self.assertEqual(heads.count(heads[0]), 4)
            self.assertEqual(results.count(results[0]), 4)
            self.assertNotEqual(heads[0], self.read("whole.h5"))
            again = self.fitted("--evaluate=head.h5", cache="large.h5")
            self.assertEqual(again["test"], results[0][2])
            self.assertLess(abs(results[0][1]["accuracy"] - whole["validation"]["accuracy"]), 0.04)
            self.assertGreater(results[0][1]["accuracy"], 0.5)
        self.fitted(*fit, "--memory=400K", cache="large.h5")  # the head depends on how many rows are mixed
        self.assertNotEqual(self.read("head.h5"), heads[0])

    def test_enough_memory_is_no_different(self):
        self.fitted("--epochs=3", "--output=one.h5", cache="large.h5")
        self.fitted("--epochs=3", "--memory=1G", cache="large.h5")
        self.assertEqual(self.read("head.h5"), self.read("one.h5"))

    def test_standardized_moments(self):
        """Rows in a file have the moments of rows in memory: one batch of all fitted rows leaves nothing else to differ."""
        options = ["--epochs=1", "--standardize", "--validation-split=0.8", "--batch-size=600", "--optimizer=sgd"]
        self.fitted(*options, "--output=one.h5", cache="large.h5")
        self.fitted(*options, "--memory=500K", cache="large.h5")
        with h5py.File(self.path("head.h5")) as a, h5py.File(self.path("one.h5")) as b:
            got, want = a["/dense/dense/kernel:0"][...], b["/dense/dense/kernel:0"][...]
        self.assertLess(np.abs(got - want).max(), 1e-5 * np.abs(want).max())

    def test_sweep(self):
        options = ["--epochs=4", "--memory=300K"]
        result = self.fitted(*options, "--sweep=lr=1e-3,1e-2", "--refit", cache="large.h5")
        for line in result["sweep"]:
            alone = self.fitted(*options, f"--learning-rate={line['learning_rate']}", "--output=one.h5",
                                cache="large.h5")
            self.assertEqual(line["val_loss"], alone["history"][-1]["val_loss"])
        self.fitted(*options, f"--learning-rate={result['sweep'][0]['learning_rate']}", "--validation-split=0",
                    "--output=one.h5", cache="large.h5")
        self.assertEqual(self.read("head.h5"), self.read("one.h5"))

    def test_refused(self):
        for options, words in ((["--optimizer=lbfgs"], ["--optimizer=lbfgs", "larger --memory"]),
                               (["--folds=3"], ["--folds", "larger --memory"]),
                               (["--optimizer=lbfgs", "--sweep=l2=0,1"], ["larger --memory"])):
            done = self.train(*options, "--memory=300K", "large.h5")
            self.assertEqual(done.returncode, 1, done.stderr)
            for word in words:
                self.assertIn(word, done.stderr.splitlines()[-1])
            self.assertEqual(sorted(os.listdir(self.folder)), ["features.h5", "large.h5"])

    def test_damage(self):
        self.fitted("--epochs=1", "-o", "good.h5", cache="large.h5")
        for dataset, row, says in (("train/features", 2000, "rows 1984 to 2047 of train are damaged"),
                                   ("train/features", 2990, "rows 2944 to 2999 of train are damaged"),
                                   ("train/labels", 5, "rows 0 to 63 of train are damaged"),
                                   ("test/features", 999, "rows 960 to 999 of test are damaged")):
            shutil.copy(os.path.join(self.master, "large.h5"), self.path("bad.h5"))
            with h5py.File(self.path("bad.h5"), "r") as file:
                data = file[dataset]
                offset = data.id.get_offset() + row * data.dtype.itemsize * int(np.prod(data.shape[1:]))
            with open(self.path("bad.h5"), "r+b") as file:
                file.seek(offset)
                byte = file.read(1)[0]
                file.seek(offset)
                file.write(bytes([byte ^ 4]))
            for options in ([], ["--sweep=lr=1e-3,1e-2"], ["--evaluate=good.h5"], ["--predict=good.h5"]):
                done = self.train("--memory=300K", *options, "bad.h5")
                self.assertEqual(done.returncode, 1)
                self.assertIn(says, done.stderr.splitlines()[-1])
                self.assertFalse(os.path.exists(self.path("head.h5")))


if __name__ == "__main__":
    unittest.main()
