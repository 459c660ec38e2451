#!/usr/bin/python3
"""train --checkpoint, end to end: a fit that is killed at random instants, until it ends, leaves the same bytes as one
that never was; and the file of somebody else is never touched."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = os.path.abspath(os.environ.get("TRAIN", "bin/train"))
ASAN = os.path.basename(os.path.normpath(os.environ.get("BUILD", ""))).endswith("asan")
SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
KILLS = 5 if ASAN else 15
EPOCHS = 60 if ASAN else 300
ROWS, TEST_ROWS, DIM = 1500, 70, 40


class Checkpoint(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.master = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.master)
        cls.data = [keras.make_rows(rows, DIM, 10, seed) for rows, seed in ((ROWS, 1), (TEST_ROWS, 2))]
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

    def train(self, *options, cache="features.h5"):
        return machine.run([TRAIN, *options, cache], cwd=self.folder)

    def succeed(self, *options):
        done = self.train(*options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def refused(self, words, *options, cache="features.h5"):
        """One line that holds all the words, no epoch (at most the head of their table), and all files as they were."""
        before = {name: self.read(name) for name in os.listdir(self.folder) if os.path.isfile(self.path(name))}
        done = self.train(*options, cache=cache)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"\Atrain: [^\n]+\n\Z")
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, done.stderr)
        self.assertLessEqual(len(done.stdout.splitlines()), 1, "an epoch was fitted")
        after = {name: self.read(name) for name in os.listdir(self.folder) if os.path.isfile(self.path(name))}
        self.assertEqual(after, before)

    def results(self):
        """Head, history and JSON, without seconds."""
        with open(self.path("x.csv")) as file:
            lines = [{key: value for key, value in line.items() if key != "seconds"} for line in csv.DictReader(file)]
        with open(self.path("x.json")) as file:
            result = json.load(file)
        del result["seconds"]
        for epoch in result["history"]:
            del epoch["seconds"]
        return self.read("head.h5"), lines, result

    def epoch_of_file(self):
        """That of the checkpoint, 0 when there is none."""
        try:
            with h5py.File(self.path("state"), "r", locking=False) as file:
                return int(file.attrs["epoch"])
        except FileNotFoundError:
            return 0

    def run_for(self, options, seconds, behind=False):
        """Kills the command after a while, which may begin when it has written a checkpoint; whether it had ended by then."""
        before = self.identity("state")
        process = subprocess.Popen([TRAIN, *options, "features.h5"], cwd=self.folder, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        if behind:
            machine.wait_for(lambda: self.identity("state") != before, process)
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        process.kill()
        _, errors = process.communicate()
        self.assertIn(process.returncode, (0, -signal.SIGKILL), errors)
        return process.returncode == 0

    def check_kills(self, *options):
        options = ["--history=x.csv", "--json=x.json", "--checkpoint=state", "--checkpoint-every=1", *options]
        begin = time.monotonic()
        self.succeed(*options)
        duration = time.monotonic() - begin
        self.assertFalse(os.path.exists(self.path("state")))
        want = self.results()
        for name in ("head.h5", "x.csv", "x.json"):
            os.unlink(self.path(name))
        rng, epochs, ended = random.Random(SEED), [], False
        for i in range(KILLS):
            ended = self.run_for(options, rng.uniform(0, 2 * duration / KILLS + 0.05), behind=i % 2 == 0)
            ended |= os.path.exists(self.path("head.h5")) and not os.path.exists(self.path("state"))
            if ended:  # though it may have been killed in its last instant
                break
            epochs.append(self.epoch_of_file())
        print(f"killed {len(epochs)} times (seed {SEED}), at checkpoints {epochs}")
        self.assertEqual(epochs, sorted(epochs), "work was lost")
        self.assertGreater(len(epochs), 0)
        if not ended:
            self.succeed(*options)
        self.assertEqual(self.results(), want)
        self.assertEqual({name for name in os.listdir(self.folder) if not name.endswith(".partial")},
                         {"features.h5", "head.h5", "x.csv", "x.json"})
        return epochs

    def test_killed(self):
        epochs = self.check_kills(f"--epochs={EPOCHS}")
        self.assertGreater(max(epochs), 0, "no fit was killed behind a checkpoint")

    def test_killed_with_all_that_a_fit_can_have(self):
        self.check_kills(f"--epochs={EPOCHS}", "--optimizer=sgd", "--momentum=0.9", "--nesterov", "--l2=1e-3",
                         "--standardize", "--class-weights=balanced", "--schedule=cosine",
                         f"--early-stopping={EPOCHS // 3}", "-j3")

    def test_killed_sweep(self):
        epochs = self.check_kills(f"--epochs={EPOCHS // 3}", "--sweep=lr=1e-3,1e-2;l2=0,1e-3", "--refit")
        self.assertGreater(max(epochs), 0)

    def test_killed_sweep_with_a_head_that_diverges(self):
        self.check_kills(f"--epochs={EPOCHS // 3}", "--optimizer=sgd", "--l2=1",
                         "--sweep=lr=1e6,1e-2,1e-3", "--early-stopping=9")

    def test_killed_lbfgs(self):
        self.check_kills(f"--epochs={EPOCHS}", "--optimizer=lbfgs", "--standardize", "--l2=1e-5", "--tolerance=1e-9",
                         "--class-weights=balanced", f"--early-stopping={EPOCHS}")

    def test_killed_with_rows_in_the_cache(self):
        self.check_kills(f"--epochs={EPOCHS // 5}", "--memory=230K")

    # ---- Ctrl-C ----

    def identity(self, name):
        try:
            found = os.stat(self.path(name))
            return found.st_ino, found.st_mtime_ns
        except FileNotFoundError:
            return None

    def interrupt(self, *options):
        """Interrupts a fit that would never end, once it has written a checkpoint; its epoch."""
        before = self.identity("state")
        process = subprocess.Popen([TRAIN, "--epochs=1000000", "--checkpoint=state", "--checkpoint-every=2", *options,
                                    "features.h5"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True)
        machine.wait_for(lambda: self.identity("state") != before, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=machine.PATIENCE)
        self.assertEqual(process.returncode, 130, errors)
        self.assertRegex(errors.splitlines()[-1], r"^train: interrupted in epoch [1-9][0-9]* of 1000000; the same "
                         "command goes on from the last checkpoint$")
        self.assertEqual(sorted(os.listdir(self.folder)), ["features.h5", "state"])
        return self.epoch_of_file()

    def test_interrupt(self):
        for options in ([], ["--sweep=lr=1e-3,1e-2"]):
            epoch = self.interrupt(*options)
            self.assertEqual(epoch % 2, 0)
            self.assertGreaterEqual(self.interrupt(*options), epoch)
            os.unlink(self.path("state"))

    def test_what_it_says(self):
        self.interrupt()
        epoch = self.epoch_of_file()
        process = subprocess.Popen([TRAIN, "--epochs=1000000", "--checkpoint=state", "--checkpoint-every=100000", "-v",
                                    "features.h5"], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        process.stdout.readline()
        self.assertEqual(int(process.stdout.readline().split()[0]), epoch + 1)
        process.kill()
        _, errors = process.communicate()
        self.assertIn(f"went on behind epoch {epoch}, from the checkpoint", errors)

    # ---- of another fit ----

    def test_mismatch(self):
        self.interrupt("--l2=0.001")
        kept = ["--epochs=1000000", "--checkpoint=state", "--l2=0.001"]
        for words, *options in (
                (["epochs=1000000 there, 7 here"], *kept, "--epochs=7"),
                (["learning_rate=0.001", "there, 0.5 here"], *kept, "--learning-rate=0.5"),
                (["l2=0.001 there, 0 here"], *kept, "--l2=0"),
                (["batch_size=128 there, 64 here"], *kept, "--batch-size=64"),
                (["seed=0 there, 1 here"], *kept, "--seed=1"),
                (["fitted_rows=1200 there, 1350 here"], *kept, "--validation-split=0.1"),
                (["optimizer=adam there, sgd here", "momentum=0 there, 0.5 here", "nesterov=0 there, 1 here",
                  "learning_rate=0.001"], *kept, "--optimizer=sgd", "--momentum=0.5", "--nesterov"),
                (["schedule=constant there, step here", "step_epochs=0 there, 3 here", "step_factor=0 there"], *kept,
                 "--schedule=step", "--step-epochs=3"),
                (["early_stopping=0 there, 5 here"], *kept, "--early-stopping=5"),
                (["standardized=0 there, 1 here"], *kept, "--standardize"),
                (["class_weights=none there, balanced here"], *kept, "--class-weights=balanced"),
                (["sweep= there, lr=1,2 here"], *kept, "--sweep=lr=1,2"),
                (["memory_for_a_part=0 there, "], *kept, "--memory=230K", "-q")):
            with self.subTest(options=options):
                self.refused(["state: the checkpoint of another fit", *words], *options)
        small = [keras.make_rows(rows, DIM, 10, seed) for rows, seed in ((ROWS - 1, 1), (TEST_ROWS, 2))]
        keras.write_cache(self.path("other.h5"), *small, preprocess="caffe")
        self.refused(["cache_preprocess=rescale there, caffe here", "train_rows=1500 there, 1499 here"], *kept,
                     cache="other.h5")
        if os.environ.get("VGGCACHE_ISA") is None:
            os.environ["VGGCACHE_ISA"] = "generic"
            try:
                with h5py.File(self.path("state"), "r") as file:
                    settings = file.attrs["settings"]
                if "kernels=generic" not in settings:
                    self.refused(["there, generic here"], *kept)
            finally:
                del os.environ["VGGCACHE_ISA"]

    def test_long_sweeps(self):
        """Sweeps that differ in their last value alone."""
        values = [f"0.00{i:08d}" for i in range(1, 120)]
        self.interrupt("--batch-size=1000", "--sweep=lr=" + ",".join(values + ["0.5"]))
        self.refused("the checkpoint of another fit: sweep=", "--epochs=1000000", "--checkpoint=state",
                     "--batch-size=1000", "--sweep=lr=" + ",".join(values + ["0.6"]))

    def test_foreign_files(self):
        with open(self.path("text"), "w") as file:
            file.write("my thesis\n")
        open(self.path("empty"), "w").close()
        with h5py.File(self.path("foreign.h5"), "w") as file:
            file["x"] = np.zeros(3)
        os.mkdir(self.path("folder"))
        self.succeed("--epochs=1", "-o", "old.h5")
        for name in ("text", "empty", "foreign.h5", "folder", "old.h5"):
            with self.subTest(name=name):
                self.refused(name, "--epochs=3", f"--checkpoint={name}", "--checkpoint-every=1")

    def test_the_cache_as_checkpoint(self):
        before = self.read("features.h5")
        done = self.train("--epochs=3", "--checkpoint=features.h5", "--checkpoint-every=1")
        self.assertIn(done.returncode, (1, 2))
        self.assertRegex(done.stderr, r"\Atrain: features.h5[^\n]+\n\Z")
        self.assertEqual(self.read("features.h5"), before)

    def test_damaged(self):
        self.interrupt()
        whole = self.read("state")
        options = ["--epochs=1000000", "--checkpoint=state"]
        for length in (0, 1, 100, 511, len(whole) // 2, len(whole) - 1):
            with open(self.path("state"), "wb") as file:
                file.write(whole[:length])
            with self.subTest(length=length):
                self.refused("state", *options)
        with open(self.path("state"), "wb") as file:
            file.write(whole)
        with h5py.File(self.path("state"), "r+") as file:
            del file["head_0/kernel_moment_2"]
        self.refused(["state", "kernel_moment_2"], *options)

    # ---- places ----

    def test_missing_folder(self):
        done = self.train("--epochs=3", "--checkpoint=none/state", "--checkpoint-every=1")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\Atrain: none/state[^\n]+No such file or directory[^\n]*\n\Z")
        self.assertEqual(os.listdir(self.folder), ["features.h5"])

    def test_unwritable_folder(self):
        """As nobody, because root may write anywhere."""
        os.chmod(self.folder, 0o777)
        program = shutil.copy(TRAIN, self.folder)  # where nobody can reach it
        os.mkdir(self.path("sealed"), 0o555)
        done = machine.run([program, "--epochs=3", "--checkpoint=sealed/state", "--checkpoint-every=1", "features.h5"],
                           cwd=self.folder, **machine.NOBODY)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\Atrain: sealed/state[^\n]+Permission denied[^\n]*\n\Z")
        self.assertFalse(os.path.exists(self.path("head.h5")))

    def test_wrong_command_lines(self):
        for words, *options in (
                ("--checkpoint-every needs --checkpoint", "--checkpoint-every=3"),
                ("--checkpoint-every=0", "--checkpoint=x", "--checkpoint-every=0"),
                ("--checkpoint-every=x", "--checkpoint=x", "--checkpoint-every=x"),
                ("--checkpoint=: the name of a file is missing", "--checkpoint="),
                ("--checkpoint and --logdir do not go with a --sweep of lbfgs", "--checkpoint=x", "--optimizer=lbfgs", "--sweep=l2=0,1"),
                ("--checkpoint does not go with --evaluate", "--checkpoint=x", "--evaluate=h.h5"),
                ("one file", "--checkpoint=head.h5"), ("one file", "--checkpoint=./head.h5"),
                ("one file", "--checkpoint=./x", "--output=../" + os.path.basename(self.folder) + "/x"), ("one file", "--checkpoint=x", "--json=x"),
                ("one file", "--checkpoint=x", "--history=x")):
            with self.subTest(options=options):
                done = self.train(*options)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertRegex(done.stderr, r"\Atrain: [^\n]+\n\Z")
                self.assertIn(words, done.stderr)

    # ---- without a kill ----

    def test_no_difference_without_a_kill(self):
        self.succeed("--epochs=9", "-o", "one.h5")
        for every in (1, 4, 9, 100):
            self.succeed("--epochs=9", "--checkpoint=state", f"--checkpoint-every={every}")
            self.assertEqual(self.read("head.h5"), self.read("one.h5"))
            self.assertFalse(os.path.exists(self.path("state")))

    def test_divergence_leaves_nothing_new(self):
        done = self.train("--epochs=9", "--optimizer=sgd", "--learning-rate=1e6", "--l2=1", "--checkpoint=state",
                          "--checkpoint-every=1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no longer a finite number", done.stderr.splitlines()[-1])
        self.assertFalse(os.path.exists(self.path("head.h5")))


if __name__ == "__main__":
    unittest.main()
