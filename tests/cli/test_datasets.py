#!/usr/bin/python3
"""Data sets as people have them: names of IDX files, damaged files beside sound ones, and no test part at all."""

import gzip
import json
import os
import shutil
import sys

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import helpers  # noqa: E402
import machine  # noqa: E402

TRAIN = os.path.abspath(os.environ.get("TRAIN", "bin/train"))
MAKE = ["-q", "-s32", "-wrandom:1"]


class Case(helpers.Case):
    def setUp(self):
        super().setUp()
        self.data, self.cache = self.folder / "data", self.folder / "f.h5"
        helpers.write_dataset(self.data, helpers.digits(30, 10))

    def rename(self, change):
        for path in list(self.data.iterdir()):
            path.rename(path.with_name(change(path.name)))

    def extract(self):
        self.cache.unlink(missing_ok=True)
        self.succeed(*MAKE, "-o", self.cache, self.data)
        return self.features(self.cache)


class Names(Case):
    """The same features whatever the files are called."""

    def test_names(self):
        wanted = self.extract()
        for change in (lambda n: n.replace("-idx", ".idx"), lambda n: n.replace("t10k", "test"), str.upper,
                       lambda n: "emnist-letters-" + n.lower(), lambda n: n.replace("-IDX", ".idx")):
            self.rename(change)
            with self.subTest(names=sorted(os.listdir(self.data))):
                self.assert_same_bits(self.extract(), wanted)

    def test_folders_that_bear_the_names(self):
        wanted = self.extract()
        for path in list(self.data.iterdir()):
            content = path.read_bytes()
            path.unlink()
            path.mkdir()
            (path / path.name).write_bytes(content)
        self.assert_same_bits(self.extract(), wanted)

    def test_damaged_beside_sound(self):
        """The damaged plain file is not passed over in silence; without it the .gz is read."""
        wanted = self.extract()
        images = self.data / helpers.NAMES[0]
        sound = images.read_bytes()
        (self.data / (helpers.NAMES[0] + ".gz")).write_bytes(gzip.compress(sound))
        images.write_bytes(sound[:-7])
        result = helpers.run(*MAKE, "-f", "-o", self.cache, self.data)
        self.assert_one_line(result, 1, str(images), ".gz is there too", "remove the damaged file")
        images.unlink()
        self.assert_same_bits(self.extract(), wanted)


class NoTestPart(Case):
    """Training files alone are a data set: its cache has an empty test part, and nobody shows numbers of no rows."""

    def setUp(self):
        super().setUp()
        for name in helpers.NAMES[2:]:
            (self.data / name).unlink()
        self.succeed(*MAKE, "-o", self.cache, self.data)

    def train(self, *options, status=0):
        done = machine.run([TRAIN, *map(str, options)], cwd=self.folder)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertNotIn("nan", done.stdout.lower())
        return done.stdout

    def test_cache(self):
        with h5py.File(self.cache) as f:
            self.assertEqual(f["train/features"].shape, (30, 512))
            self.assertEqual(f["test/features"].shape, (0, 512))
        self.assertIn("0 of 0", self.succeed(f"--info={self.cache}").stdout)
        self.assertIn("30 training rows and 0 test rows", self.succeed(f"--verify={self.cache}").stdout)
        self.assertIn("nothing to do", helpers.run("-s32", "-wrandom:1", "-o", self.cache, self.data).stdout)

    def test_resumed(self):
        whole = self.features(self.cache)
        partial = self.cache.with_name("f.h5.partial")
        shutil.move(self.cache, partial)
        with h5py.File(partial, "r+") as f:
            f.attrs["complete"] = np.int64(0)
            f["train/progress"][0] = 0
        self.succeed(*MAKE, "-o", self.cache, self.data)
        self.assert_same_bits(self.features(self.cache), whole)

    def test_train(self):
        for options in (["--epochs=2"], ["--epochs=2", "--folds=3"], ["--epochs=2", "--sweep=lr=1e-3,1e-2"],
                        ["--optimizer=lbfgs", "--epochs=3"], ["--epochs=2", "--early-stopping=1", "--validation-split=0.5"],
                        ["--epochs=2", "--memory=250K", "--batch-size=4"]):
            with self.subTest(options=options):
                said = self.train(*options, "--json=r.json", "--report=r.html", "--logdir=log" if len(options) == 1 else "-q",
                                  "-o", "h.h5", self.cache)
                self.assertIn("training", said)
                self.assertNotIn("test   ", said)
                self.assertIsNone(json.loads((self.folder / "r.json").read_text())["test"])
                self.assertNotIn("nan", (self.folder / "r.html").read_text().split("<table", 1)[-1].split("<script")[0].lower())
        self.assertNotIn("test   ", self.train("--evaluate=h.h5", self.cache))
        self.assertEqual(len(self.train("--predict=h.h5", self.cache).splitlines()), 31)
        self.train("--export=npy", "-o", "x", self.cache)
        self.assertEqual(np.load(self.folder / "x-test-features.npy").shape, (0, 512))
        self.train("--export=svmlight", "-o", "x", self.cache)
        self.assertEqual((self.folder / "x-test.svmlight").read_text(), "")


helpers.main(__name__)
