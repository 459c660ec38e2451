#!/usr/bin/env python3
"""SIGKILL at random instants, from the first system call to the last: what is left opens, holds only rows that are right,
and is finished by the same command to a file that is byte-identical to one that was never interrupted.

Rows that were counted but never reached the disk (a power loss) are made by hand: they must be found and made again."""

import pathlib
import random
import signal
import sys
import time
import unittest

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import helpers  # noqa: E402
import machine  # noqa: E402
from helpers import ASAN, SCRATCH, SEED  # noqa: E402

INSTANTS = 6 if ASAN else 18
SPLITS = ["train", "test"]
COUNTS = (150, 80) if ASAN else (200, 100)  # blocks of 64 rows


class Kill(helpers.Case):
    @classmethod
    def setUpClass(cls):
        cls.weights, _ = helpers.weights_file()
        cls.dataset = helpers.write_dataset(SCRATCH / "data", helpers.digits(*COUNTS))
        cls.whole_path = SCRATCH / "whole.h5"
        begin = time.monotonic()
        result = helpers.run(*cls.arguments(cls.whole_path))
        assert result.returncode == 0, result.stderr
        cls.duration = time.monotonic() - begin
        cls.whole = cls.whole_path.read_bytes()
        with h5py.File(cls.whole_path) as f:
            cls.rows = {split: (f[f"{split}/features"][:], f[f"{split}/labels"][:]) for split in SPLITS}
            cls.block = int(f["train"].attrs["block_rows"])
        assert cls.block * 2 < COUNTS[0]

    @classmethod
    def arguments(cls, cache):
        return ["-q", f"--output={cache}", f"--weights={cls.weights}", "--size=32", cls.dataset]

    def setUp(self):
        super().setUp()
        self.cache = self.folder / "cache.h5"
        self.partial = self.folder / "cache.h5.partial"
        self.fresh = self.folder / "cache.h5.partial.new"

    def kill_when(self, condition):
        """Starts the command and kills it once the condition holds; whether it was still alive then."""
        with helpers.start(*self.arguments(self.cache)) as process:
            while process.poll() is None and not condition():
                time.sleep(0.0002)
            alive = process.poll() is None
            process.kill()
            process.communicate()
        return alive and process.returncode == -signal.SIGKILL

    def check_what_is_left(self):
        """The claims about any instant. Returns the rows that are counted."""
        if self.cache.exists():
            self.assertEqual(self.cache.read_bytes(), self.whole, "something incomplete has the final name")
        if not self.partial.exists():
            return sum(COUNTS) if self.cache.exists() else 0
        if self.partial.stat().st_size == 0:
            return 0  # only the lock so far
        counted = 0
        with h5py.File(self.partial) as f:
            for split in SPLITS:
                progress = int(f[f"{split}/progress"][0])
                features, labels = self.rows[split]
                self.assertTrue(progress == len(labels) or progress % self.block == 0)
                self.assertEqual(f[f"{split}/features"].shape, features.shape)
                if progress > 0:
                    self.assert_same_bits(f[f"{split}/features"][:progress], features[:progress])
                self.assertEqual(f[f"{split}/labels"][:progress].tolist(), labels[:progress].tolist())
                counted += progress
            self.assertTrue(f.attrs["complete"] == 0 or counted == sum(COUNTS))
        return counted

    def finish(self):
        self.succeed(*self.arguments(self.cache))
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["cache.h5"])
        self.assertEqual(self.cache.read_bytes(), self.whole, "not the bytes of an uninterrupted run")
        self.cache.unlink()

    def after(self, seconds):
        end = time.monotonic() + seconds
        return lambda: time.monotonic() >= end

    def once(self, condition, seconds):
        """True from `seconds` after the condition first held."""
        end = []

        def reached():
            if not end and condition():
                end.append(time.monotonic() + seconds)
            return bool(end) and time.monotonic() >= end[0]
        return reached

    def rows_counted(self, least):
        def reached():
            time.sleep(0.002)  # a look takes as long, of the processors that the run could have
            return sum(helpers.progress_of(self.partial) or [0]) >= least
        return reached

    def instants(self, rng):
        """Names and what makes a condition: some anywhere in the run, which may be before the first row; most where rows are
        written; the others where files come and go, which takes but milliseconds."""
        special = [
            ("the lock", self.partial.exists),
            ("the structure", self.fresh.exists),
            ("the structure is in place", lambda: self.partial.exists() and self.partial.stat().st_size > 0),
            ("all rows", self.rows_counted(sum(COUNTS))),
        ]
        for i in range(INSTANTS):
            if i % 6 == 0:
                share = (i + rng.uniform(0, 6)) / INSTANTS
                yield f"{share:.3f} of the run", lambda: self.after(min(share, 1) * self.duration)
            elif i % 3 == 2:
                name, condition = special[i // 3 % len(special)]
                delay = rng.choice([0, rng.uniform(0, 0.003), rng.uniform(0, 0.02)])
                yield f"{1000 * delay:.2f} ms after {name}", lambda: self.once(condition, delay)
            else:
                rows, delay = rng.randrange(1, sum(COUNTS)), rng.uniform(0, 0.1)
                yield f"{1000 * delay:.2f} ms after {rows} rows", lambda: self.once(self.rows_counted(rows), delay)

    def kill_at(self, make_condition):
        """Kills the command at an instant, or tries again when it was over by then, as beside busy programs; whether it was
        killed, and the rows that are counted."""
        for _ in range(3):
            condition = make_condition()
            killed = self.kill_when(lambda: self.swallow(condition))
            counted = self.check_what_is_left()
            self.finish()
            if killed:
                break
        return killed, counted

    def test_killed_at_random_instants(self):
        rng = random.Random(SEED)
        done = []
        for name, make_condition in self.instants(rng):
            with self.subTest(instant=name, seed=SEED):
                done.append(self.kill_at(make_condition))
        self.assertEqual(len(done), INSTANTS)
        while len(done) < 3 * INSTANTS and 0 not in [counted for _, counted in done]:
            done.append(self.kill_at(lambda: self.partial.exists))
        killed, counts = sum(alive for alive, _ in done), [counted for _, counted in done]
        print(f"kill: {killed} of {len(done)} were alive when killed; rows counted by then: {counts}")
        self.assertGreaterEqual(killed, INSTANTS // 2, "the run is over before it is killed")
        self.assertIn(0, counts)
        half_way = sum(0 < count < sum(COUNTS) for count in counts)
        self.assertGreaterEqual(half_way, INSTANTS // 6, "hardly ever killed half-way")

    @staticmethod
    def swallow(condition):
        """A file may go between two looks at it, and a structure being written may not open yet."""
        try:
            return condition()
        except (FileNotFoundError, OSError, KeyError):
            return False

    def test_killed_again_and_again(self):
        """Each attempt is killed while it goes on where the last one stopped; at last one finishes."""
        rng = random.Random(SEED + 1)
        wanted = 2 if ASAN else 4
        seen, resumes = [], 0
        for attempt in range(10 * wanted):
            before = self.check_what_is_left()
            more = self.once(self.rows_counted(before + 1), rng.uniform(0, 0.03))
            killed = self.kill_when(lambda: self.swallow(more))
            with self.subTest(attempt=attempt, seed=SEED):
                seen.append(self.check_what_is_left())
                self.assertGreaterEqual(seen[-1], before, "rows that were counted are lost")
            resumes += killed and before > 0
            if resumes >= wanted:
                break
            if self.cache.exists():
                self.cache.unlink()
        print(f"kill: rows counted after each kill in a row: {seen}")
        self.assertGreaterEqual(resumes, wanted, "no resumed run could be killed")
        self.finish()

    def partial_of(self, least):
        """The bytes of a partial cache with at least so many training rows, and how many those are."""
        def launch():
            for path in self.folder.iterdir():
                path.unlink()
            return helpers.start(*self.arguments(self.cache))

        process = machine.stopped(launch, lambda: least <= (helpers.progress_of(self.partial) or [0])[0] < COUNTS[0])
        process.kill()
        process.communicate()
        with h5py.File(self.partial) as f:
            return self.partial.read_bytes(), int(f["train/progress"][0])

    def test_power_loss(self):
        """Rows below the mark that read as zeros, or as garbage, in one block or several: made again, and nothing else is."""
        rng = np.random.default_rng(SEED)
        spoils = {
            "the last block": lambda f, n: f["train/features"].__setitem__(slice(n - 64, n), 0),
            "the first row": lambda f, n: f["train/features"].__setitem__(0, 0),
            "all rows": lambda f, n: f["train/features"].__setitem__(slice(0, n), 0),
            "one number": lambda f, n: f["train/features"].__setitem__((n - 1, 511), np.float32(rng.random())),
            "garbage": lambda f, n: f["train/features"].__setitem__(slice(n - 3, n), rng.random((3, 512), np.float32)),
            "labels": lambda f, n: f["train/labels"].__setitem__(slice(n - 64, n), 255),
            "checksums": lambda f, n: f["train/checksums"].__setitem__(slice(0, n // 64), 0),
            "not a number": lambda f, n: f["train/features"].__setitem__((70, 3), np.nan),
        }
        partial, progress = self.partial_of(128)
        for name, spoil in list(spoils.items())[:2 if ASAN else None]:
            with self.subTest(spoiled=name, seed=SEED):
                self.partial.write_bytes(partial)
                with h5py.File(self.partial, "r+") as f:
                    spoil(f, progress)
                result = helpers.run(f"--verify={self.partial}")
                self.assert_one_line(result, 1, self.partial, "checksum")
                self.finish()

    def test_power_loss_in_a_finished_part(self):
        """The training rows were all there; what is damaged among them is made again, and the test rows with their order."""
        self.cache.write_bytes(self.whole)
        self.cache.rename(self.partial)
        with h5py.File(self.partial, "r+") as f:
            f.attrs.modify("complete", np.int64(0))
            f["train/features"][100:190] = 0
            f["test/features"][64] = 0
        self.finish()

    def test_complete_but_not_renamed(self):
        self.partial.write_bytes(self.whole)
        self.finish()

    def test_leftovers_do_not_disturb(self):
        """What a kill during the making of the structure leaves: an empty lock, and half a structure."""
        for lock, fresh in (b"", None), (b"", b""), (b"", self.whole[:3000]), (None, self.whole[:3000]), (None, b"\0" * 100000):
            with self.subTest(lock=lock, fresh=fresh and len(fresh)):
                if lock is not None:
                    self.partial.write_bytes(lock)
                if fresh is not None:
                    self.fresh.write_bytes(fresh)
                self.finish()


helpers.main(__name__)
