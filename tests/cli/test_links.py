#!/usr/bin/env python3
"""Outputs that are symbolic links: what they lead to is written, and they stay links; permissions of what is replaced stay."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import helpers  # noqa: E402
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = str((helpers.ROOT / os.environ.get("TRAIN", "bin/train")).resolve())


class Links(helpers.Case):
    def setUp(self):
        super().setUp()
        keras.write_cache(self.folder / "features.h5", *(keras.make_rows(n, 512, 10, n) for n in (300, 70)), input_size=56)
        (self.folder / "disk").mkdir()

    def path(self, name):
        return self.folder / name

    def train(self, *options, status=0):
        done = machine.run([TRAIN, "-q", *map(str, options)], cwd=self.folder, env=helpers.environment())
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def extract(self, *options, status=0):
        done = helpers.run("-q", "-j1", "--size=32", "--weights=random:1", *options, cwd=self.folder)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def link(self, *names):
        """Links in the folder to files of the same names in disk/."""
        for name in names:
            os.symlink(os.path.join("disk", name), self.path(name))

    def check(self, names, left=()):
        """The links are links, and the files are there, and nothing else is."""
        for name in names:
            self.assertTrue(self.path(name).is_symlink(), name)
        self.assertEqual(sorted(os.listdir(self.path("disk"))), sorted([*names, *left]))

    def test_results_of_a_fit(self):
        names = ["head.h5", "j.json", "h.csv", "r.html"]
        self.link(*names)
        for epochs in 2, 3:  # they dangle, then they do not
            self.train(f"--epochs={epochs}", "--json=j.json", "--history=h.csv", "--report=r.html", "features.h5")
            self.check(names)
            self.assertEqual(json.loads(self.path("disk/j.json").read_text())["epochs"], epochs)
            self.assertEqual(len(self.path("disk/h.csv").read_text().splitlines()), epochs + 1)
            self.train("--evaluate=disk/head.h5", "features.h5")

    def test_predictions_and_exports(self):
        self.train("--epochs=1", "-o", "good.h5", "features.h5")
        names = ["p.csv", "x-train.svmlight", "x-test.svmlight", "x-train-features.npy", "x-test-labels.npy"]
        self.link(*names)
        for _ in range(2):
            self.train("--predict=good.h5", "-o", "p.csv", "features.h5")
            self.train("--export=svmlight", "-o", "x", "features.h5")
            self.train("--export=npy", "-o", "x", "features.h5")
            self.check(names)
        self.assertEqual(len(self.path("disk/p.csv").read_text().splitlines()), 371)

    def test_networks(self):
        self.path("features.h5").unlink()
        data = helpers.write_dataset(self.path("data"), helpers.synthetic_digits(20, 1) + helpers.synthetic_digits(5, 2))
        self.extract("-o", "features.h5", data)
        self.train("--epochs=1", "-o", "good.h5", "features.h5")
        self.link("n.onnx", "n.h5")
        for form, name in ("onnx", "n.onnx"), ("keras", "n.h5"):
            self.train(f"--export={form}", "--head=good.h5", "-o", name)
        self.check(["n.onnx", "n.h5"])

    def test_checkpoint(self):
        self.link("c.h5")
        with subprocess.Popen([TRAIN, "-q", "--epochs=1000000", "--batch-size=1", "--checkpoint=c.h5", "--checkpoint-every=1",
                               "features.h5"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            machine.wait_for(self.path("disk/c.h5").exists, process)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=machine.PATIENCE)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, errors)
        self.check(["c.h5"])
        self.path("disk/c.h5").unlink()
        self.train("--epochs=3", "--checkpoint=c.h5", "--checkpoint-every=1", "features.h5")
        self.assertTrue(self.path("c.h5").is_symlink())
        self.assertEqual(os.listdir(self.path("disk")), [])  # what it led to is done with

    def test_circles_and_missing_folders(self):
        os.symlink("b", self.path("a"))
        os.symlink("a", self.path("b"))
        os.symlink("none/x", self.path("lost"))
        data = helpers.write_dataset(self.path("data"), helpers.synthetic_digits(4, 1) + helpers.synthetic_digits(3, 2))
        for name, words in ("a", "Too many levels of symbolic links"), ("lost", "No such file or directory"):
            for options in (["-o", name], [f"--json={name}"], [f"--history={name}"], [f"--report={name}"]):
                with self.subTest(name=name, options=options):
                    error = self.train("--epochs=1", *options, "features.h5", status=1).stderr
                    self.assertRegex(error, rf"\Atrain: {name}[^\n]*{words}\n\Z")
            self.assertIn(words, self.extract("-o", name, data, status=1).stderr)

    def test_devices(self):
        os.symlink("/dev/null", self.path("null"))
        self.train("--epochs=1", "--json=null", "--history=/dev/null", "features.h5")
        self.assertIn("no regular file", self.train("-o", "null", "features.h5", status=1).stderr)
        self.assertEqual(os.readlink(self.path("null")), "/dev/null")

    def test_caches(self):
        data = helpers.write_dataset(self.path("data"), helpers.synthetic_digits(20, 1) + helpers.synthetic_digits(5, 2))
        self.link("c.h5")
        self.extract("-o", "c.h5", data)
        self.check(["c.h5"])
        before = self.path("disk/c.h5").read_bytes(), os.stat(self.path("disk/c.h5")).st_ino
        self.extract("-o", "c.h5", data)  # nothing to do
        self.assertEqual((self.path("disk/c.h5").read_bytes(), os.stat(self.path("disk/c.h5")).st_ino), before)
        self.assertIn("asked for caffe", self.extract("-o", "c.h5", "-p", "caffe", data, status=1).stderr)
        self.extract("-f", "-o", "c.h5", "-p", "caffe", data)
        self.check(["c.h5"])
        self.train("--epochs=1", "c.h5")
        os.rename(self.path("disk/c.h5"), self.path("disk/c.h5.partial"))
        self.assertIn("not finished, there is only", self.train("c.h5", status=1).stderr)

    def test_two_names_of_one_result(self):
        self.link("a", "b")
        os.unlink(self.path("b"))
        os.symlink("disk/a", self.path("b"))
        self.assertIn("two results cannot go to one file", self.train("--json=a", "--history=b", "features.h5", status=2).stderr)
        os.symlink("features.h5", self.path("cache"))
        self.assertIn("is a feature cache", self.train("-o", "cache", "features.h5", status=1).stderr)
        self.assertIn("must not be written", self.train("--json=cache", "features.h5", status=2).stderr)

    def test_permissions(self):
        mask = os.umask(0o027)
        self.addCleanup(os.umask, mask)
        self.train("--epochs=1", "--json=new.json", "-o", "new.h5", "features.h5")
        for name, mode in ("new.json", 0o640), ("new.h5", 0o640):
            self.assertEqual(os.stat(self.path(name)).st_mode & 0o7777, mode)
        for name, mode in ("new.json", 0o664), ("new.h5", 0o600):
            os.chmod(self.path(name), mode)
        self.train("--epochs=2", "--json=new.json", "-o", "new.h5", "features.h5")
        for name, mode in ("new.json", 0o664), ("new.h5", 0o600):
            self.assertEqual(os.stat(self.path(name)).st_mode & 0o7777, mode)

    def test_long_names(self):
        for name in "n" * 252 + ".h5", "ï" * 126 + ".h5":
            self.train("--epochs=1", f"--json={name[:-3]}.js", "-o", name, "features.h5")
            self.assertTrue(self.path(name).exists() and self.path(name[:-3] + ".js").exists())
        self.assertIn("File name too long", self.train("--json=" + "n" * 256, "features.h5", status=1).stderr)

    def test_a_killed_run_disturbs_nobody(self):
        """What SIGKILL leaves has a name of its own, and the next run does not mind it."""
        with subprocess.Popen([TRAIN, "-q", "--epochs=1000000", "--batch-size=1", "--json=j.json", "features.h5"], cwd=self.folder,
                              stdout=subprocess.DEVNULL) as process:
            left = lambda: [name for name in os.listdir(self.folder) if name.startswith("j.json")]  # noqa: E731
            machine.wait_for(left, process)
            process.kill()
        self.assertRegex(left()[0], r"\Aj\.json\.[a-z0-9]{6}\.partial\Z")
        self.train("--epochs=2", "--json=j.json", "features.h5")
        self.assertEqual(json.loads(self.path("j.json").read_text())["epochs"], 2)
        self.assertEqual(len(left()), 2)


if __name__ == "__main__":
    unittest.main()
