#!/usr/bin/env python3
"""Runs that write the same names at the same time: what a run with status 0 wrote is there, whole and of one of them; nothing is a
mixture, and nothing stays behind."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import helpers  # noqa: E402
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = str((helpers.ROOT / os.environ.get("TRAIN", "bin/train")).resolve())
ROUNDS = 4 if helpers.ASAN else 15


class TwoAtOnce(helpers.Case):
    def setUp(self):
        super().setUp()
        keras.write_cache(self.folder / "features.h5", *(keras.make_rows(n, 40, 10, n) for n in (300, 70)))

    def together(self, *commands):
        """Starts all, waits for all, and takes each for right."""
        processes = [subprocess.Popen(list(map(str, command)), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      text=True, env=helpers.environment()) for command in commands]
        for process in processes:
            _, error = process.communicate(timeout=machine.PATIENCE)
            self.assertEqual((process.returncode, error), (0, ""))
        self.assertEqual([name for name in os.listdir(self.folder) if "partial" in name], [])

    def alone(self, *command):
        """A run in a folder of its own: the files that it makes."""
        before = set(os.listdir(self.folder))
        self.together(command)
        made = {name: (self.folder / name).read_bytes() for name in set(os.listdir(self.folder)) - before}
        for name in made:
            (self.folder / name).unlink()
        return made

    def test_fits(self):
        """Eight fits of two kinds on one name; the one kind is over sooner than the other."""
        fit = [TRAIN, "-q", "-j1", "--json=j.json", "--history=h.csv", "--report=r.html"]
        kinds = [[*fit, f"--epochs={3 + 20 * kind}", f"--seed={kind}", "features.h5"] for kind in range(2)]
        heads = [self.alone(*kind)["head.h5"] for kind in kinds]
        self.assertNotEqual(*heads)
        for _ in range(ROUNDS):
            self.together(*(4 * kinds))
            self.assertIn((self.folder / "head.h5").read_bytes(), heads)
            with open(self.folder / "j.json", encoding="utf-8") as file:
                result = json.load(file)
            self.assertEqual([epoch["epoch"] for epoch in result["history"]], list(range(1, result["epochs"] + 1)))
            self.assertIn(result["epochs"], (3, 23))
            lines = (self.folder / "h.csv").read_text().splitlines()
            self.assertEqual([line.split(",")[0] for line in lines], ["epoch"] + [str(i + 1) for i in range(len(lines) - 1)])
            self.assertIn(len(lines), (4, 24))
            page = (self.folder / "r.html").read_text("utf-8")
            self.assertTrue(page.startswith("<!DOCTYPE html>") and page.count("</html>") == 1 and page.rstrip().endswith("</html>"))

    def test_exports_and_predictions(self):
        self.together([TRAIN, "-q", "--epochs=2", "features.h5"])
        for options in (["--predict=head.h5", "-o", "p.csv"], ["--export=npy", "-o", "x"], ["--export=svmlight", "-o", "x"]):
            with self.subTest(options=options):
                command = [TRAIN, "-q", *options, "features.h5"]
                wanted = self.alone(*command)
                for _ in range(ROUNDS // 3):
                    self.together(*(6 * [command]))
                    for name, content in wanted.items():
                        self.assertEqual((self.folder / name).read_bytes(), content, name)

    def test_checkpoints(self):
        """The same fit twice with one checkpoint: both end, to the same bits."""
        command = [TRAIN, "-q", "-j1", "--epochs=40", "--checkpoint=c.h5", "--checkpoint-every=1", "features.h5"]
        wanted = self.alone(*command)["head.h5"]
        for _ in range(ROUNDS // 3):
            self.together(*(3 * [command]))
            self.assertEqual((self.folder / "head.h5").read_bytes(), wanted)
            self.assertFalse((self.folder / "c.h5").exists())

    def test_event_files(self):
        """One folder takes those of several fits, in files of their own."""
        self.together(*(4 * [[TRAIN, "-q", "-j1", "--epochs=5", "--logdir=logs", "features.h5"]]))
        for run in "train", "validation":
            files = [(self.folder / "logs" / run / name).read_bytes() for name in os.listdir(self.folder / "logs" / run)]
            self.assertEqual(len(files), 4)
            for content in files:  # framed records: u64 length, u32, data, u32
                records = 0
                while content:
                    length = int.from_bytes(content[:8], "little")
                    self.assertLessEqual(16 + length, len(content))
                    content, records = content[16 + length:], records + 1
                self.assertGreaterEqual(records, 6)

    def test_caches(self):
        """Of several extracts on one cache one makes it; the others are told, or find it done."""
        data = helpers.write_dataset(self.folder / "data", helpers.synthetic_digits(40, 1) + helpers.synthetic_digits(20, 2))
        os.symlink("cache.h5", self.folder / "link.h5")
        base = [helpers.EXTRACT, "-q", "-j1", "--size=32", "--weights=random:1", data]
        self.together([*base, "-o", "whole.h5"])
        for _ in range(3):
            processes = [subprocess.Popen(list(map(str, [*base, "-o", name])), cwd=self.folder, stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, text=True, env=helpers.environment())
                         for name in ("cache.h5", "link.h5", "./cache.h5", "link.h5")]
            statuses = []
            for process in processes:
                _, error = process.communicate(timeout=machine.PATIENCE)
                statuses.append(process.returncode)
                if process.returncode != 0:
                    self.assertRegex(error, r"\Aextract: [^\n]*cache\.h5: another extract is writing this cache[^\n]*\n\Z")
            self.assertIn(0, statuses)
            self.assertEqual((self.folder / "cache.h5").read_bytes(), (self.folder / "whole.h5").read_bytes())
            self.assertEqual([name for name in os.listdir(self.folder) if "partial" in name], [])
            os.unlink(self.folder / "cache.h5")


if __name__ == "__main__":
    unittest.main()
