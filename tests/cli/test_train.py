#!/usr/bin/python3
"""Every documented exit status and message of bin/train."""

import csv
import io
import json
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

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = os.path.abspath(os.environ.get("TRAIN", "bin/train"))
ROWS, TEST_ROWS, DIM = 300, 70, 40


class Train(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.master = tempfile.mkdtemp()
        cls.data = [keras.make_rows(rows, DIM, 10, seed) for rows, seed in ((ROWS, 1), (TEST_ROWS, 2))]
        keras.write_cache(os.path.join(cls.master, "features.h5"), *cls.data)
        subprocess.run([TRAIN, "--epochs=2", "features.h5"], cwd=cls.master, check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.master)

    def setUp(self):
        """Each test has a folder of its own, with a cache features.h5 and a head good.h5 for it."""
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copy(os.path.join(self.master, "features.h5"), self.folder)
        shutil.copy(os.path.join(self.master, "head.h5"), os.path.join(self.folder, "good.h5"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def train(self, *options, **more):
        return machine.run([TRAIN, *options], cwd=self.folder, **more)

    def refused(self, status, words, *options, **more):
        """Exactly one line on standard error, that holds all the words; nothing on standard output; no new file."""
        before = sorted(os.listdir(self.folder))
        done = self.train(*options, **more)
        self.assertEqual(done.returncode, status, done.stderr)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("train: "), lines[0])
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, lines[0])
        self.assertEqual(done.stdout, "")
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def fitted(self, *options):
        done = self.train(*options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    # ---- command line ----

    def test_help(self):
        done = self.fitted("--help")
        self.assertEqual(done.stderr, "")
        for word in ("--output", "--epochs", "--batch-size", "--optimizer", "--momentum", "--nesterov",
                     "--learning-rate", "--l2", "--validation-split", "--seed", "--history", "--logdir", "--histogram-freq", "--json", "--evaluate",
                     "--predict", "--threads", "--quiet", "--verbose", "default 200", "default 128", "default 0.2",
                     "0.001 for adam", "Exit status"):
            self.assertIn(word, " ".join(done.stdout.split()))
        self.assertTrue(self.fitted("--version").stdout.startswith("vggcache "))

    def test_no_argument(self):
        self.refused(2, "CACHE is missing")

    def test_wrong_command_lines(self):
        for words, *options in (
                (["--epochs=0", "from 1 to"], "--epochs=0", "features.h5"),
                ("--epochs=1.5", "--epochs=1.5", "features.h5"),
                ("--epochs=", "--epochs=", "features.h5"),
                ("--epochs=-1", "--epochs=-1", "features.h5"),
                ("--epochs=99999999999999999999", "--epochs=99999999999999999999", "features.h5"),
                ("--batch-size=0", "--batch-size=0", "features.h5"),
                (["--optimizer=lbgfs", "adam", "sgd"], "--optimizer=lbgfs", "features.h5"),
                ("--learning-rate=0", "--learning-rate=0", "features.h5"),
                ("--learning-rate=nan", "--learning-rate=nan", "features.h5"),
                ("--learning-rate=1e-3x", "--learning-rate=1e-3x", "features.h5"),
                ("--momentum=1.1", "--optimizer=sgd", "--momentum=1.1", "features.h5"),
                ("--optimizer=sgd", "--momentum=0.9", "features.h5"),
                ("--optimizer=sgd", "--optimizer=lbfgs", "--momentum=0.9", "features.h5"),
                ("--batch-size does not go with --optimizer=lbfgs", "--optimizer=lbfgs", "--batch-size=3", "features.h5"),
                ("--seed does not go with --optimizer=lbfgs", "--seed=3", "--optimizer=lbfgs", "features.h5"),
                ("--learning-rate does not go with", "--learning-rate=1", "--optimizer=lbfgs", "features.h5"),
                (["--class-weights=some", "balanced"], "--class-weights=some", "features.h5"),
                (["--schedule=linear", "cosine"], "--schedule=linear", "features.h5"),
                ("needs --step-epochs", "--schedule=step", "features.h5"),
                ("go with --schedule=step", "--step-epochs=2", "features.h5"),
                ("go with --schedule=step", "--schedule=cosine", "--step-factor=0.5", "features.h5"),
                ("--step-factor=0", "--schedule=step", "--step-factor=0", "features.h5"),
                ("--schedule does not go with --optimizer=lbfgs", "--optimizer=lbfgs", "--schedule=cosine", "features.h5"),
                ("--early-stopping=0", "--early-stopping=0", "features.h5"),
                ("needs validation rows", "--early-stopping=3", "--validation-split=0", "features.h5"),
                ("--tolerance does not go with --optimizer=adam", "--tolerance=1e-3", "features.h5"),
                ("--tolerance=0", "--optimizer=lbfgs", "--tolerance=0", "features.h5"),
                ("needs a --momentum", "--optimizer=sgd", "--nesterov", "features.h5"),
                ("--l2=-1", "--l2=-1", "features.h5"),
                ("--validation-split=1", "--validation-split=1", "features.h5"),
                ("--validation-split=-0.1", "--validation-split=-0.1", "features.h5"),
                ("--seed=x", "--seed=x", "features.h5"),
                ("--threads=0", "--threads=0", "features.h5"),
                ("--threads=0", "-j0", "features.h5"),
                ("one CACHE", "features.h5", "features.h5"),
                ("exclude each other", "--evaluate=good.h5", "--predict=good.h5", "features.h5"),
                ("--epochs does not go with --evaluate", "--evaluate=good.h5", "--epochs=3", "features.h5"),
                ("--standardize does not go with --evaluate", "--evaluate=good.h5", "--standardize", "features.h5"),
                ("--seed does not go with --predict", "--predict=good.h5", "--seed=3", "features.h5"),
                ("--output does not go with", "--evaluate=good.h5", "--output=x.h5", "features.h5"),
                ("--json does not go with", "--predict=good.h5", "--json=x.json", "features.h5"),
                ("cannot go to standard output", "--output=-", "features.h5"),
                ("--output=: the name of a file is missing", "--output=", "features.h5"),
                ("--output=: the name of a file is missing", "--predict=good.h5", "--output=", "features.h5"),
                ("--json=: the name of a file is missing", "--json=", "features.h5"),
                ("--report=: the name of a file is missing", "--evaluate=good.h5", "--report=", "features.h5"),
                ("one file", "--json=x", "--history=x", "features.h5"),
                ("one file", "--json=-", "--history=-", "features.h5"),
                ("must not be written", "--json=features.h5", "features.h5"),
                ("must not be written", "--history=./features.h5", "features.h5"),
                ("must not be written", "--report=features.h5", "features.h5"),
                ("must not be written", "--checkpoint=features.h5", "features.h5"),
                ("must not be written", "--predict=good.h5", "--output=features.h5", "features.h5"),
                ("must not be written", "--predict=good.h5", "--output=good.h5", "features.h5"),
                ("must not be written", "--evaluate=good.h5", "--json=good.h5", "features.h5"),
                ("one file", "--json=head.h5", "features.h5")):
            with self.subTest(options=options):
                self.refused(2, words, *options)

    def test_unknown_option(self):
        done = self.train("--epoch-count=3", "features.h5")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--epoch-count=3", done.stderr)

    def test_unknown_instruction_set(self):
        self.refused(2, "VGGCACHE_ISA=sse9", "features.h5", env={**os.environ, "VGGCACHE_ISA": "sse9"})

    # ---- caches ----

    def test_missing_cache(self):
        self.refused(1, ["nothing.h5", "No such file"], "nothing.h5")

    def test_folder_as_cache(self):
        self.refused(1, self.folder, self.folder)

    def test_not_hdf5(self):
        for name, data in (("empty.h5", b""), ("text.h5", b"epoch,loss\n" * 100)):
            with open(self.path(name), "wb") as file:
                file.write(data)
            self.refused(1, [name, "HDF5"], name)

    def test_foreign_hdf5(self):
        with h5py.File(self.path("foreign.h5"), "w") as file:
            file["x"] = np.zeros(3)
        self.refused(1, ["foreign.h5", "not a feature cache"], "foreign.h5")

    def test_head_as_cache(self):
        self.refused(1, ["good.h5", "not a feature cache"], "good.h5")

    def test_cut_cache(self):
        with open(self.path("features.h5"), "r+b") as file:
            file.truncate(os.path.getsize(self.path("features.h5")) // 2)
        self.refused(1, "features.h5", "features.h5")

    def test_unfinished_cache(self):
        keras.write_cache(self.path("half.h5"), *self.data, complete=False, progress=(128, 0))
        for options in ([], ["--evaluate=good.h5"], ["--predict=good.h5"]):
            self.refused(1, ["half.h5: not finished", "128 of 300 training rows", "same extract command"], *options,
                         "half.h5")

    def test_partial_file_only(self):
        keras.write_cache(self.path("new.h5.partial"), *self.data, complete=False, progress=(128, 0))
        self.refused(1, ["new.h5: not finished", "new.h5.partial", "same extract command"], "new.h5")

    def flip_bit(self, dataset, row):
        with h5py.File(self.path("features.h5"), "r+") as file:
            data = file[dataset]
            offset = data.id.get_offset() + row * data.dtype.itemsize * int(np.prod(data.shape[1:]))
        with open(self.path("features.h5"), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))

    def test_damaged_rows(self):
        for dataset, row, words in (("train/features", 130, "rows 128 to 191 of train are damaged"),
                                    ("train/labels", 299, "rows 256 to 299 of train are damaged"),
                                    ("test/features", 0, "rows 0 to 63 of test are damaged"),
                                    ("test/labels", 69, "rows 64 to 69 of test are damaged")):
            for options in ([], ["--evaluate=good.h5"], ["--predict=good.h5"]):
                with self.subTest(dataset=dataset, options=options):
                    self.flip_bit(dataset, row)
                    self.refused(1, ["features.h5", words], *options, "features.h5")
                    self.flip_bit(dataset, row)
        self.fitted("--epochs=1", "features.h5")

    def test_label_out_of_range(self):
        features, labels = self.data[0]
        wrong = labels.copy()
        wrong[5] = 10
        keras.write_cache(self.path("wrong.h5"), (features, wrong), self.data[1])
        self.refused(1, ["wrong.h5", "label 10 in row 5"], "wrong.h5")

    def test_not_finite_features(self):
        features, labels = self.data[0]
        wrong = features.copy()
        wrong[7, 3] = np.nan
        keras.write_cache(self.path("wrong.h5"), (wrong, labels), self.data[1])
        done = self.train("wrong.h5")
        self.assertEqual(done.returncode, 1)
        self.assertIn("training row 7", done.stderr)
        done = self.train("--standardize", "wrong.h5")
        self.assertEqual(done.returncode, 1)
        self.assertIn("training row 7", done.stderr)
        self.assertFalse(os.path.exists(self.path("head.h5")))

    # ---- heads ----

    def test_head_of_other_features(self):
        keras.write_cache(self.path("other.h5"), *self.data, preprocess="caffe", weights_sha256="ef" * 32)
        for option in ("--evaluate=good.h5", "--predict=good.h5"):
            self.refused(1, ["good.h5", "other.h5", "preprocess is rescale in the head and caffe in the cache",
                             "weights_sha256 is abab", "efef"], option, "other.h5")

    def test_head_of_other_shape(self):
        wide = [keras.make_rows(rows, 50, 10, rows) for rows in (ROWS, TEST_ROWS)]
        keras.write_cache(self.path("wide.h5"), *wide)
        self.refused(1, ["good.h5", "[50][10]"], "--evaluate=good.h5", "wide.h5")

    def test_foreign_heads(self):
        with h5py.File(self.path("keras.h5"), "w") as file:
            file.attrs["layer_names"] = [b"dense"]
        with open(self.path("text.h5"), "w") as file:
            file.write("no head")
        self.refused(1, ["keras.h5", "not a head that train saved"], "--evaluate=keras.h5", "features.h5")
        self.refused(1, ["features.h5", "it is a feature cache"], "--evaluate=features.h5", "features.h5")
        self.refused(1, ["text.h5", "HDF5"], "--predict=text.h5", "features.h5")
        self.refused(1, ["nothing.h5", "No such file"], "--evaluate=nothing.h5", "features.h5")

    # ---- places to write to ----

    def test_missing_folders(self):
        self.refused(1, ["none/head.h5", "No such file"], "--output=none/head.h5", "features.h5")
        self.refused(1, ["none/x.json", "No such file"], "--json=none/x.json", "features.h5")
        self.refused(1, ["none/x.csv", "No such file"], "--history=none/x.csv", "features.h5")
        self.refused(1, ["none/x.json", "No such file"], "--evaluate=good.h5", "--json=none/x.json", "features.h5")
        self.refused(1, ["none/x.csv", "No such file"], "--predict=good.h5", "--output=none/x.csv", "features.h5")

    def test_a_cache_is_never_replaced(self):
        with open(self.path("features.h5"), "rb") as file:
            before = file.read()
        self.refused(1, ["features.h5", "feature cache", "--output"], "-o", "features.h5", "features.h5")
        os.symlink("features.h5", self.path("link.h5"))
        self.refused(1, ["link.h5", "feature cache"], "-o", "link.h5", "features.h5")
        with open(self.path("features.h5"), "rb") as file:
            self.assertEqual(file.read(), before)

    def test_folder_as_output(self):
        os.mkdir(self.path("folder"))
        self.refused(1, ["folder", "no regular file"], "-o", "folder", "features.h5")
        self.refused(1, ["folder", "directory"], "--json=folder", "features.h5")

    def test_full_device(self):
        self.refused(1, ["/dev/full", "no regular file"], "-o", "/dev/full", "features.h5")
        for option in ("--json=/dev/full", "--history=/dev/full"):
            done = self.train("--epochs=2", option, "features.h5")
            self.assertEqual(done.returncode, 1)
            self.assertIn("/dev/full: cannot write: No space left on device", done.stderr)
            done = self.train("--evaluate=good.h5", "--json=/dev/full", "features.h5")
            self.assertEqual(done.returncode, 1)
        self.refused(1, ["/dev/full", "No space left"], "--predict=good.h5", "-o", "/dev/full", "features.h5")
        self.assertTrue(stat_is_device("/dev/full"))
        for options in (["--epochs=1"], ["--evaluate=good.h5"], ["--predict=good.h5"], ["--epochs=1", "--json=-"]):
            with open("/dev/full", "w") as full:
                done = self.train(*options, "features.h5", stdout=full)
            self.assertEqual(done.returncode, 1, options)
            self.assertIn("standard output: cannot write", done.stderr)

    def test_no_space_for_the_head(self):
        """The disk fills up at any byte of the file."""
        def limit(room):
            return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        if self.train("--version", preexec_fn=limit(0)).returncode != 0:
            self.skipTest("LLVM's OpenMP itself writes a file before main() begins")
        whole = os.path.getsize(self.path("good.h5"))
        for room in [0, 1, 1000, whole - 1] + list(range(500, whole, 700)):
            with self.subTest(room=room):
                done = self.train("--epochs=1", "features.h5", preexec_fn=limit(room))
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("head.h5", done.stderr)
                self.assertEqual(sorted(os.listdir(self.folder)), ["features.h5", "good.h5"])

    # ---- fits that end badly ----

    def test_divergence(self):
        done = self.train("--optimizer=sgd", "--learning-rate=1e6", "--l2=1", "--history=x.csv", "features.h5")
        self.assertEqual(done.returncode, 1)
        line = done.stderr.splitlines()[-1]
        for words in ("no longer a finite number in epoch", "--learning-rate=100000"):
            self.assertIn(words, line)
        self.assertEqual(sorted(os.listdir(self.folder)), ["features.h5", "good.h5"])

    def test_nothing_to_validate(self):
        self.refused(1, ["--validation-split=1e-18", "validate"], "--validation-split=1e-18", "features.h5")
        self.refused(1, ["--validation-split=0.999", "fit"], "--validation-split=0.999", "features.h5")

    def interrupt(self, number):
        process = subprocess.Popen([TRAIN, "--epochs=1000000", "--batch-size=1", "--history=x.csv", "features.h5"],
                                   cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.readline()
        self.assertTrue(process.stdout.readline().split()[0] == "1")  # the first epoch is done
        process.send_signal(number)
        _, errors = process.communicate(timeout=machine.PATIENCE)
        self.assertEqual(process.returncode, 128 + number, errors)
        self.assertRegex(errors.splitlines()[-1],
                         r"^train: interrupted in epoch [1-9][0-9]* of 1000000; nothing was saved$")
        self.assertEqual(sorted(os.listdir(self.folder)), ["features.h5", "good.h5"])

    def test_interrupts(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                self.interrupt(number)

    # ---- what comes out ----

    def test_tables(self):
        done = self.fitted("--epochs=3", "features.h5")
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0].split(), ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"])
        self.assertEqual([line.split()[0] for line in lines[1:4]], ["1", "2", "3"])
        text = done.stdout
        for words in ("3 epochs in", "lowest validation loss", "300 rows", "240 of them fitted", "60 rows", "70 rows",
                      "confusion on the test rows", "precision", "support"):
            self.assertIn(words, text)
        self.assertEqual(done.stderr, "train: the head was saved as head.h5\n")
        begin = lines.index("confusion on the test rows (line: label, column: predicted)") + 2
        counts = [[int(cell.replace(".", "0")) for cell in line.split()[1:]] for line in lines[begin:begin + 10]]
        self.assertEqual(np.array(counts).shape, (10, 10))
        self.assertEqual(np.sum(counts), TEST_ROWS)
        self.assertEqual(list(np.sum(counts, axis=1)), list(np.bincount(self.data[1][1], minlength=10)))
        without = self.fitted("--epochs=3", "--validation-split=0", "features.h5").stdout
        self.assertNotIn("val", without)

    def test_long_fit_prints_about_twenty_lines(self):
        lines = self.fitted("features.h5").stdout.splitlines()
        epochs = [int(line.split()[0]) for line in lines[1:lines.index("")] if line.split()[0].isdigit()
                  and len(line.split()) == 6]
        self.assertEqual((epochs[0], epochs[-1]), (1, 200))
        self.assertLess(len(epochs), 200)
        self.assertGreaterEqual(len(epochs), 20)
        self.assertEqual(len(self.fitted("-v", "--epochs=50", "features.h5").stdout.splitlines()) - 50,
                         len(self.fitted("-v", "--epochs=60", "features.h5").stdout.splitlines()) - 60)

    def test_quiet(self):
        done = self.fitted("-q", "--epochs=3", "features.h5")
        self.assertEqual([line.split()[0] for line in done.stdout.splitlines()], ["training", "validation", "test"])
        self.assertEqual(done.stderr, "")

    def test_json_and_history(self):
        done = self.fitted("--epochs=4", "--json=x.json", "--history=x.csv", "features.h5")
        self.assertIn("epoch", done.stdout)
        with open(self.path("x.json")) as file:
            result = json.load(file)
        self.assertEqual(list(result), ["settings", "epochs", "seconds", "history", "train", "validation", "test"])
        self.assertEqual(result["epochs"], 4)
        self.assertEqual([result[name]["rows"] for name in ("train", "validation", "test")], [ROWS, 60, TEST_ROWS])
        with open(self.path("x.csv")) as file:
            lines = list(csv.DictReader(file))
        self.assertEqual(list(lines[0]), ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds",
                                          "learning_rate"])
        self.assertEqual(len(lines), 4)
        for line, epoch in zip(lines, result["history"]):
            self.assertEqual(list(epoch), list(line))
            for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
                self.assertAlmostEqual(float(line[name]), epoch[name], 7)
        self.assertLessEqual(sum(epoch["seconds"] for epoch in result["history"]), result["seconds"])

    def test_standard_output_is_for_programs(self):
        done = self.fitted("--epochs=2", "--json=-", "features.h5")
        self.assertEqual(json.loads(done.stdout)["epochs"], 2)
        self.assertIn("val_loss", done.stderr)
        done = self.fitted("--epochs=2", "--history=-", "--validation-split=0", "features.h5")
        lines = list(csv.DictReader(io.StringIO(done.stdout)))
        self.assertEqual([line["epoch"] for line in lines], ["1", "2"])
        self.assertEqual([line["val_loss"] for line in lines], ["", ""])
        done = self.fitted("--predict=good.h5", "features.h5")
        self.assertEqual(done.stderr, "")
        self.assertEqual(len(list(csv.DictReader(io.StringIO(done.stdout)))), ROWS + TEST_ROWS)
        self.fitted("--predict=good.h5", "--output=x.csv", "features.h5")
        with open(self.path("x.csv")) as file:
            self.assertEqual(file.read(), done.stdout)

    def test_evaluate_repeats_the_fit(self):
        for options in ([], ["--l2=0.01"], ["--standardize"], ["--standardize", "--l2=0.01"],
                        ["--optimizer=lbfgs", "--standardize", "--l2=0.01"]):
            fit = json.loads(self.fitted("--epochs=3", "--json=-", *options, "features.h5").stdout)
            result = json.loads(self.fitted("--evaluate=head.h5", "--json=-", "features.h5").stdout)
            self.assertEqual(list(result), ["train", "test"])
            self.assertEqual(result["train"], fit["train"])
            self.assertEqual(result["test"], fit["test"])
        text = self.fitted("--evaluate=head.h5", "features.h5").stdout
        self.assertIn("training", text)
        self.assertIn("confusion on the test rows", text)

    def test_same_bits_for_any_threads(self):
        wide = [keras.make_rows(rows, 2000, 10, rows) for rows in (ROWS, TEST_ROWS)]
        keras.write_cache(self.path("wide.h5"), *wide)
        heads = []
        for options in ([], ["--standardize"]):
            heads = []
            for threads in (1, 2, 3, 7):
                self.fitted("--epochs=3", f"-j{threads}", *options, "wide.h5")
                with open(self.path("head.h5"), "rb") as file:
                    heads.append(file.read())
            self.assertEqual(heads.count(heads[0]), 4)
        self.fitted("--epochs=3", "--standardize", "--seed=1", "wide.h5")
        with open(self.path("head.h5"), "rb") as file:
            self.assertNotEqual(file.read(), heads[0])

    def test_many_classes(self):
        many = [keras.make_rows(rows, DIM, 300, rows) for rows in (ROWS, TEST_ROWS)]
        keras.write_cache(self.path("many.h5"), *many, classes=300)
        text = self.fitted("--epochs=2", "many.h5").stdout
        self.assertIn("the 20 worst by F1 of the", text)
        self.assertNotIn("confusion", text)

    def test_head_attributes(self):
        self.fitted("--epochs=3", "--optimizer=sgd", "--momentum=0.5", "--l2=0.01", "--seed=5", "features.h5")
        with h5py.File(self.path("head.h5"), "r") as file:
            attributes = dict(file.attrs)
            self.assertEqual([name.decode() for name in attributes["class_names"]], [str(c) for c in range(10)])
        expected = {"epochs": 3, "batch_size": 128, "learning_rate": 0.01, "momentum": 0.5, "nesterov": 0, "l2": 0.01,
                    "validation_split": 0.2, "seed": 5, "optimizer": "sgd"}
        expected.update(("cache_" + name, str(value)) for name, value in keras.PROVENANCE.items())
        expected.update(standardized=0, schedule="constant", class_weights="none", cache_weights_source="a test")
        for name in ("tolerance", "penalty", "early_stopping", "step_epochs", "step_factor"):
            self.assertNotIn(name, attributes)
        for name, value in expected.items():
            got = attributes[name]
            self.assertEqual(got.decode() if isinstance(got, bytes) else got, value, name)
        self.fitted("--epochs=3", "--standardize", "--l2=0.01", "--schedule=step", "--step-epochs=2", "--early-stopping=9",
                    "--class-weights=balanced", "features.h5")
        with h5py.File(self.path("head.h5"), "r") as file:
            attributes = dict(file.attrs)
        for name, value in {"standardized": 1, "schedule": "step", "step_epochs": 2, "step_factor": 0.1,
                            "early_stopping": 9, "class_weights": "balanced"}.items():
            got = attributes[name]
            self.assertEqual(got.decode() if isinstance(got, bytes) else got, value, name)
        self.assertGreater(attributes["penalty"], 0)
        self.fitted("--epochs=3", "--optimizer=lbfgs", "--tolerance=1e-3", "features.h5")
        with h5py.File(self.path("head.h5"), "r") as file:
            self.assertEqual(file.attrs["tolerance"], 1e-3)


def stat_is_device(path):
    return (os.stat(path).st_mode & 0o170000) == 0o020000


if __name__ == "__main__":
    unittest.main()
