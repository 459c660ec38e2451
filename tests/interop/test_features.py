#!/usr/bin/env python3
"""The features against an independent judge (PyTorch in float64, built from the 26 tensors), and against themselves:
the same bits for any number of threads, any limit, and however often the run was interrupted."""

import signal
import unittest

import numpy as np

import helpers
from helpers import ASAN, ENGINES, MODES

TOLERANCE = {"reference": 1e-5, "gemm": 1e-5, "winograd": 1e-4}
worst = {}
combinations = 0


class Accuracy(helpers.Case):
    """Every engine and instruction set x size x preprocessing."""

    @classmethod
    def setUpClass(cls):
        cls.count = 2  # of each split
        cls.weights, cls.tensors = helpers.weights_file()
        cls.data = helpers.digits(cls.count, cls.count)
        cls.dataset = helpers.write_dataset(helpers.SCRATCH / "accuracy", cls.data)
        cls.images = np.concatenate([cls.data[0], cls.data[2]])

    def check(self, size, modes, engines=ENGINES):
        global combinations
        gray = helpers.resize_all(self.images, size)
        for mode in modes:
            wanted = helpers.torch_features(self.tensors, gray, mode)
            self.assertEqual(wanted.shape, (2 * self.count, 512 * (size // 32) ** 2))
            for engine, isa in engines:
                with self.subTest(size=size, mode=mode, engine=engine, isa=isa):
                    if helpers.lacks_isa(isa):
                        self.skipTest(f"this processor lacks {isa}")
                    limit = 1 if engine == "reference" else self.count
                    cache = self.folder / f"{mode}-{engine}-{isa}.h5"
                    self.succeed("-q", f"--output={cache}", f"--weights={self.weights}", f"--size={size}",
                                 f"--preprocess={mode}", f"--engine={engine}", f"--limit={limit}", self.dataset, isa=isa)
                    rows = list(range(limit)) + list(range(self.count, self.count + limit))
                    error = helpers.worst_relative(self.features(cache), wanted[rows])
                    name = engine if isa is None else f"{engine} {isa}"
                    worst[name] = max(worst.get(name, 0), error)
                    self.assertTrue(error <= TOLERANCE[engine], f"relative error {error:.3g}")
                    combinations += 1

    def test_size_32(self):
        self.check(32, MODES[:1] if ASAN else MODES)

    def test_size_56(self):
        """The reference takes seconds for each picture from here on: it is held at the smallest size and at one with odd maps."""
        self.check(56, MODES[1:2] if ASAN else MODES[:2], ENGINES[1:])

    def test_size_64(self):
        """More than one pixel is left: the order of Flatten shows."""
        self.check(64, ["rescale"], ENGINES[1:])

    def test_size_75(self):
        self.check(75, ["torch"])

    @classmethod
    def tearDownClass(cls):
        errors = "; ".join(f"{name} at worst {error:.2e}" for name, error in worst.items())
        print(f"features against float64: {combinations} combinations; {errors}")
        assert combinations >= 10, "engines were not run"


class Judge(unittest.TestCase):
    """The comparison itself."""

    def test_worst_relative(self):
        wanted = np.random.default_rng(1).random((3, 512)) + 0.1
        self.assertEqual(helpers.worst_relative(wanted, wanted), 0)
        for spoil in (np.nan, np.inf, -np.inf):
            found = wanted.copy()
            found[2, 511] = spoil
            self.assertEqual(helpers.worst_relative(found, wanted), np.inf)
            self.assertEqual(helpers.worst_relative(wanted, found), np.inf)
        found = wanted.copy()
        found[1, 7] *= 1.01
        self.assertTrue(helpers.worst_relative(found, wanted) > 1e-4)
        self.assertTrue(helpers.worst_relative(np.roll(wanted, 1, axis=1), wanted) > 0.1)
        self.assertTrue(helpers.worst_relative(np.zeros_like(wanted), wanted) >= 1)
        self.assertEqual(helpers.worst_relative(wanted, np.zeros_like(wanted)), np.inf)
        self.assertEqual(helpers.worst_relative(wanted[:2], wanted), np.inf)
        self.assertEqual(helpers.worst_relative(wanted[:0], wanted[:0]), np.inf)


class SameBits(helpers.Case):
    """What must not matter, does not matter, to the last bit."""

    @classmethod
    def setUpClass(cls):
        cls.counts = (130, 3)  # blocks of 64 rows: several, and short ones
        cls.weights, _ = helpers.weights_file()
        cls.dataset = helpers.write_dataset(helpers.SCRATCH / "bits", helpers.digits(*cls.counts))
        cls.reference = {}

    def arguments(self, engine, *more):
        return ["-q", f"--weights={self.weights}", "--size=32", f"--engine={engine}", *more, self.dataset]

    def whole(self, engine, isa):
        """The features of the undisturbed run with two threads, made once per engine."""
        if (engine, isa) not in self.reference:
            cache = self.folder / f"whole-{engine}-{isa}.h5"
            self.succeed(f"--output={cache}", "--threads=2", *self.arguments(engine), isa=isa)
            self.reference[engine, isa] = self.features(cache), cache.read_bytes()
        return self.reference[engine, isa]

    def for_fast_engines(self, check):
        for engine, isa in ENGINES[1:]:
            with self.subTest(engine=engine, isa=isa):
                if helpers.lacks_isa(isa):
                    self.skipTest(f"this processor lacks {isa}")
                check(engine, isa)

    def limited(self, limit, engine, isa, *more):
        """The file of a run on the first rows, whose features must be those of the whole run."""
        cache = self.folder / f"{engine}-{isa}-{limit}{''.join(more)}.h5"
        self.succeed(f"--output={cache}", *self.arguments(engine, f"--limit={limit}", *more), isa=isa)
        train, test = self.counts
        rows = list(range(limit)) + list(range(train, train + min(limit, test)))
        self.assert_same_bits(self.features(cache), self.whole(engine, isa)[0][rows])
        return cache.read_bytes()

    def test_threads_and_limit(self):
        def check(engine, isa):
            one, three = (self.limited(66, engine, isa, f"--threads={threads}") for threads in (1, 3))
            self.assertEqual(one, three, "threads change the file")

        self.for_fast_engines(check)

    def test_small_limits(self):
        def check(engine, isa):
            for limit in (1, 7):
                self.limited(limit, engine, isa)

        self.for_fast_engines(check)

    def test_limit_at_56(self):
        """Group sizes inside the network differ with the count at this size: 1, some, and several groups of up to 8."""
        most = 5 if ASAN else 11

        def check(engine, isa):
            found = {}
            for limit in (1, 3, most):
                cache = self.folder / f"{engine}-{isa}-{limit}.h5"
                self.succeed("-q", f"--output={cache}", f"--weights={self.weights}", f"--engine={engine}",
                             f"--limit={limit}", self.dataset, isa=isa)
                features = self.features(cache)
                found[limit] = features[:limit], features[limit:]
            for limit in (1, 3):
                for part in (0, 1):
                    self.assert_same_bits(found[limit][part], found[most][part][:limit])

        self.for_fast_engines(check)

    def test_interrupted_and_resumed(self):
        def check(engine, isa):
            _, wanted = self.whole(engine, isa)
            cache = self.folder / f"{engine}-{isa}.h5"
            partial = f"{cache}.partial"
            with helpers.start(f"--output={cache}", "--threads=1", *self.arguments(engine), isa=isa) as process:
                if not helpers.wait_for(lambda: (helpers.progress_of(partial) or [0])[0] > 0, process):
                    self.fail("the run ended before it could be interrupted: " + process.communicate()[1])
                process.send_signal(signal.SIGINT)
                process.communicate()
            if process.returncode == 0:
                self.skipTest("the run was over before the signal came")
            self.assertEqual(process.returncode, 128 + signal.SIGINT)
            self.assertGreater(helpers.progress_of(partial)[0], 0)
            self.succeed(f"--output={cache}", "--threads=3", *self.arguments(engine), isa=isa)
            self.assertEqual(cache.read_bytes(), wanted, "an interruption changes the file")

        self.for_fast_engines(check)


helpers.main(__name__)
