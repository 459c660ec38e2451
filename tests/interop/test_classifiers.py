#!/usr/bin/env python3
"""The section "Other classifiers" of train's manual: its code blocks are run one after another, in a folder of their own, and each accuracy they
print is held against the figure in its table."""

import os
import pathlib
import re
import shutil
import sys
import unittest

import helpers
import machine

MANUAL = (helpers.ROOT / "train" / "README.md").read_text("utf-8")
SECTION = re.search(r"^## Other classifiers\n(.*?)(?=^## |\Z)", MANUAL, re.M | re.S).group(1)
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", SECTION, re.M | re.S)
TRAIN = str((helpers.ROOT / os.environ.get("TRAIN", "bin/train")).resolve())
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
EXTRACT_LINE = "bin/extract --weights=random:1 --limit=2000 /usr/share/datasets/fashion-mnist\n"
WINDOW = 0.01


def stated(column):
    """{classifier: accuracy} of its table."""
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \| ([\d.]+) \|$", SECTION, re.M)
    return {row[0]: float(row[1 + column]) for row in rows}


def printed(output):
    """{classifier: accuracy} of what the blocks print; LIBLINEAR says it in its own words."""
    found = {name: float(figure) for name, figure in re.findall(r"^([A-Z]\w+) (0\.\d+|1\.0)$", output, re.M)}
    found.update(("liblinear-train", float(percent) / 100) for percent in re.findall(r"^Accuracy = ([\d.]+)%", output, re.M))
    return found


class Classifiers(helpers.Case):
    def run_block(self, language, text):
        command = ["sh", "-eu", "-c", text] if language == "sh" else [sys.executable, "-c", text]
        done = machine.run(command, cwd=self.folder)
        self.assertEqual(done.returncode, 0, f"{text}\n{done.stdout}{done.stderr}")
        return done.stdout

    def run_readme(self, first, column):
        """Runs all blocks, with `first` in the place of the one that fills the cache."""
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "extract").symlink_to(helpers.EXTRACT)
        (self.folder / "bin" / "train").symlink_to(TRAIN)
        self.assertEqual(BLOCKS[0], ("sh", EXTRACT_LINE))
        found = printed("".join(self.run_block(*block) for block in [("sh", first), *BLOCKS[1:]]))
        expected = stated(column)
        for name, accuracy in found.items():
            print(f"{name}: {accuracy:.4f}, manual: {expected.get(name)}", flush=True)
        self.assertEqual(set(found), set(expected))
        self.assertGreaterEqual(len(expected), 7)
        for name, accuracy in found.items():
            with self.subTest(classifier=name):
                self.assertLessEqual(abs(accuracy - expected[name]), WINDOW)

    @unittest.skipUnless(FASHION.is_dir(), "Debian's dataset-fashion-mnist is not installed")
    @unittest.skipUnless(shutil.which("liblinear-train"), "Debian's liblinear-tools is not installed")
    def test_fashion(self):
        self.run_readme(EXTRACT_LINE, 0)

    @unittest.skipUnless(helpers.has_digits() and helpers.has_realistic_weights(), "no real digits and weights")
    @unittest.skipUnless(shutil.which("liblinear-train"), "Debian's liblinear-tools is not installed")
    def test_digits(self):
        weights, _ = helpers.weights_file()
        self.run_readme(f"bin/extract --weights={weights} --limit=2000 {helpers.ASSETS / 'mnist'}\n", 1)


helpers.main(__name__)
