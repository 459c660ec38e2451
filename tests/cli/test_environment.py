#!/usr/bin/python3
"""What the environment gives: threads by OpenMP, affinity and quota; memory by control groups and ulimit."""

import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import unittest

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import helpers  # noqa: E402
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = os.path.abspath(os.environ.get("TRAIN", "bin/train"))
MEGABYTE = 1 << 20
# Fewer threads than asked for, other numbers of them, other places, small stacks.
VARIABLES = ["OMP_THREAD_LIMIT=1", "OMP_THREAD_LIMIT=2", "OMP_DYNAMIC=true", "OMP_MAX_ACTIVE_LEVELS=0", "OMP_NUM_THREADS=1",
             "OMP_NUM_THREADS=3", "OMP_NUM_THREADS=2,2", "OMP_PROC_BIND=master", "OMP_STACKSIZE=64K", "OMP_WAIT_POLICY=passive"]


def made_of(pairs):
    return dict(pair.split("=", 1) for pair in pairs)


class Case(helpers.Case):
    def train(self, *options, environment=(), **more):
        env = dict(os.environ, LC_ALL="C", **made_of(environment))
        return machine.run([TRAIN, *map(str, options)], cwd=self.folder, env=env, **more)


class Threads(Case):
    """Any team that OpenMP gives fits the same heads; nothing waits for threads that never come."""

    @classmethod
    def setUpClass(cls):
        cls.cache = helpers.SCRATCH / "threads.h5"
        keras.write_cache(cls.cache, keras.make_rows(700, 520, 5, 1), keras.make_rows(100, 520, 5, 2), classes=5)

    def results(self, *options, environment=()):
        """What a fit leaves, without its times."""
        done = self.train(*options, "--json=result.json", "-o", "head.h5", self.cache, environment=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.folder / "result.json", encoding="utf-8") as file:
            found = json.load(file)
        for epoch in found.get("history", []):
            epoch.pop("seconds", None)
        return {key: value for key, value in found.items() if "second" not in key}

    def check(self, *options):
        wanted = self.results(*options, "-j1")
        for variable in VARIABLES:
            for threads in ([], ["-j2"], ["-j5"]):
                with self.subTest(variable=variable, threads=threads):
                    self.assertEqual(self.results(*options, *threads, environment=[variable]), wanted)

    def test_fit(self):
        self.check("--epochs=3")

    def test_folds(self):
        self.check("--epochs=2", "--folds=3")

    def test_sweep(self):
        self.check("--epochs=2", "--sweep=lr=1e-3,1e-2,1e-1")

    def test_lbfgs(self):
        self.check("--epochs=3", "--optimizer=lbfgs")

    def test_from_disk(self):
        self.check("--epochs=2", "--batch-size=32", "--memory=1536K")

    def test_terminated(self):
        """The first SIGTERM ends a fit whose threads are fewer than asked for."""
        env = dict(os.environ, OMP_THREAD_LIMIT="1", LC_ALL="C")
        with subprocess.Popen([TRAIN, "-j2", "--epochs=1000000", "--history=-", "-o", "x.h5", "--checkpoint=state.h5",
                               "--checkpoint-every=1", self.cache], cwd=self.folder, env=env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            self.assertTrue(helpers.wait_for(lambda: (self.folder / "state.h5").exists(), process))
            process.terminate()
            self.assertEqual(process.wait(timeout=machine.PATIENCE), 128 + 15)

    def test_extract(self):
        weights, _ = helpers.weights_file()
        for engine, counts in ("winograd", (140, 70)), ("gemm", (10, 5)):  # blocks of 64 images
            dataset, made = helpers.write_dataset(self.folder / engine, helpers.digits(*counts)), set()
            for variable in ["A=1", *VARIABLES]:
                cache = self.folder / "features.h5"
                env = dict(os.environ, LC_ALL="C", **made_of([variable]))
                machine.run([helpers.EXTRACT, "-q", "-j3", "-s32", "-w", weights, "-e", engine, "-o", cache, dataset],
                            env=env, check=True)
                made.add(cache.read_bytes())
                cache.unlink()
            self.assertEqual(len(made), 1, engine)

    def threads_of(self, *options, environment=(), **more):
        dataset = self.folder / "data"
        if not dataset.exists():
            helpers.write_dataset(dataset, helpers.digits(2, 1))
        env = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
        done = machine.run([helpers.EXTRACT, "-q", "-f", "-s32", "-wrandom:1", "--json=-", "-o", self.folder / "features.h5",
                            *options, dataset], env=dict(env, **made_of(environment)), check=True, **more)
        return json.loads(done.stdout)["threads"]

    def test_default(self):
        """OMP_NUM_THREADS, else the affinity mask; --threads before both; a limit bounds all."""
        allowed = len(os.sched_getaffinity(0))
        one = {min(os.sched_getaffinity(0))}
        self.assertLessEqual(self.threads_of(), allowed)
        self.assertEqual(self.threads_of(preexec_fn=lambda: os.sched_setaffinity(0, one)), 1)
        self.assertEqual(self.threads_of(environment=["OMP_NUM_THREADS=3"]), 3)
        self.assertEqual(self.threads_of("-j4", environment=["OMP_NUM_THREADS=3"]), 4)
        self.assertEqual(self.threads_of("-j4", environment=["OMP_NUM_THREADS=3", "OMP_THREAD_LIMIT=2"]), 2)
        self.assertEqual(self.threads_of(environment=["OMP_NUM_THREADS="]), self.threads_of())


@contextlib.contextmanager
def control_group(controller, **limits):
    """A control group (version 1 or 2) with these limits, named as in version 1; yields its folder, or None where this
    process may not make one."""
    base = pathlib.Path("/sys/fs/cgroup")
    folder = next((at / f"vggcache-test-{os.getpid()}" for at in (base / controller, base) if (at / "cgroup.procs").exists()),
                  None)
    names = {"memory": ("memory.limit_in_bytes", "memory.max"), "cpu": ("cpu.cfs_quota_us", "cpu.max")}[controller]
    made = False
    try:
        try:
            folder.mkdir()
            made = True
            name = next(name for name in names if (folder / name).exists())
            (folder / name).write_text(str(limits["limit"]))
        except (OSError, AttributeError, StopIteration):
            yield None
            return
        yield folder
    finally:
        if made:
            folder.rmdir()


class Memory(Case):
    """The memory of this process is what its control group and ulimit leave, not what the machine has."""

    @classmethod
    def setUpClass(cls):
        """80 MB of features; all blocks are equal, so that one checksum serves."""
        features, labels = keras.make_rows(64, 512, 10, 1)
        cls.cache = helpers.SCRATCH / "large.h5"
        keras.write_cache(cls.cache, (np.tile(features, (640, 1)), np.tile(labels, 640)), (features, labels))

    def test_control_group(self):
        with control_group("memory", limit=64 * MEGABYTE) as group:
            if group is None:
                self.skipTest("no control group for memory can be made here")
            enter = lambda: (group / "cgroup.procs").write_text(str(os.getpid()))  # noqa: E731
            done = self.train("-q", "--epochs=1", "-o", "head.h5", self.cache, preexec_fn=enter)
            self.assertEqual(done.returncode, 0, done.stderr)
            told = self.train("--epochs=1", "-o", "head.h5", self.cache, preexec_fn=enter)
            self.assertIn("stay in the cache", told.stderr)
            lbfgs = self.train("--optimizer=lbfgs", "-o", "head.h5", self.cache, preexec_fn=enter)
            self.assertEqual(lbfgs.returncode, 1)

    def test_quota(self):
        with control_group("cpu", limit=100000) as group:
            if group is None or len(os.sched_getaffinity(0)) == 1:
                self.skipTest("no control group for processors can be made here")
            dataset = self.folder / "data"
            helpers.write_dataset(dataset, helpers.digits(2, 1))
            env = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
            done = machine.run([helpers.EXTRACT, "-q", "-s32", "-wrandom:1", "--json=-", "-o", self.folder / "f.h5", dataset],
                               env=env, check=True,
                               preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
            self.assertEqual(json.loads(done.stdout)["threads"], 1)

    def test_extract_in_little_memory(self):
        """Fewer threads than asked for, and a message that says why; none at all is refused before the work."""
        dataset = self.folder / "data"
        helpers.write_dataset(dataset, helpers.digits(4, 2))
        for limit, status in ((380, 0), (160, 1)):
            with control_group("memory", limit=limit * MEGABYTE) as group:
                if group is None:
                    self.skipTest("no control group for memory can be made here")
                done = helpers.run("-j64", "-s32", "-wrandom:1", "-f", "-o", self.folder / "f.h5", dataset,
                                   preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertRegex(done.stderr, "[0-9]+ of 64 threads: each needs" if status == 0 else "cannot allocate")

    def test_least(self):
        """--memory is kept to, or refused with the least that would do: which then does."""
        wide = self.folder / "wide.h5"
        keras.write_cache(wide, keras.make_rows(600, 8192, 4, 1), keras.make_rows(200, 8192, 4, 2), classes=4, block_rows=4)
        done = self.train("--epochs=1", "--memory=1M", "-o", "head.h5", wide)
        self.assertEqual(done.returncode, 1)
        least = float(done.stderr.split("the least is ")[1].split(" MB")[0])
        self.assertLess(least, 25)
        enough = self.train("--epochs=1", f"--memory={int(least) + 1}M", "-o", "head.h5", wide)
        self.assertEqual(enough.returncode, 0, enough.stderr)

    def test_address_space(self):
        """`ulimit -v`: small jobs run, others say what they lack; nothing hangs in a library's start."""
        def limited(megabytes):
            return lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes * MEGABYTE, megabytes * MEGABYTE))

        if helpers.ASAN:
            self.skipTest("AddressSanitizer reserves terabytes of address space")
        for program in (TRAIN, helpers.EXTRACT):
            for megabytes in (60, 100, 200, 300):
                for option in ("--version", "--help"):
                    machine.run([program, option], check=True, preexec_fn=limited(megabytes))
        small = self.folder / "small.h5"
        keras.write_cache(small, keras.make_rows(200, 64, 4, 1), keras.make_rows(50, 64, 4, 2), classes=4)
        self.assertEqual(self.train("-q", "--epochs=1", "-j1", small, preexec_fn=limited(200)).returncode, 0)
        done = self.train("-q", "--optimizer=lbfgs", "-j1", small, preexec_fn=limited(200))
        self.assertEqual(done.returncode, 1)
        self.assertIn("ulimit -v", done.stderr)
        self.assertEqual(self.train("-q", "--optimizer=lbfgs", "-j1", small, preexec_fn=limited(600)).returncode, 0)


class SortedByClass(Case):
    """Keras' validation rows are the last: of data sorted by class, whole classes. One line tells."""

    def warning(self, labels, *options):
        features = np.random.default_rng(1).normal(size=(len(labels), 8)).astype(np.float32)
        keras.write_cache(self.folder / "f.h5", (features, labels), (features[:10], labels[:10]), classes=int(max(labels)) + 1)
        done = self.train("-q", "--epochs=1", *options, "f.h5")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def test_warns(self):
        told = self.warning(np.sort(np.arange(100) % 5))
        self.assertEqual(told.count("\n"), 1)
        self.assertIn("class 4 (0 of 20)", told)
        self.assertIn("--folds", told)
        self.assertIn("class 4 (3 of 23)", self.warning(np.array([0] * 77 + [4] * 23)))
        self.assertIn("class 21 (0 of 2), class 22 (0 of 2) and more", self.warning(np.sort(np.arange(50) % 25),
                                                                                  "--validation-split=0.4"))

    def test_does_not_warn(self):
        labels = np.arange(100) % 5
        self.assertEqual(self.warning(np.random.default_rng(2).permutation(labels)), "")
        self.assertEqual(self.warning(labels), "")
        self.assertEqual(self.warning(np.sort(labels), "--validation-split=0"), "")
        self.assertEqual(self.warning(np.sort(labels), "--folds=4"), "")


class InstructionSet(Case):
    def test_cache_of_another(self):
        """The message names the variable that chooses; set to nothing, it counts as unset."""
        dataset, cache = self.folder / "data", self.folder / "f.h5"
        helpers.write_dataset(dataset, helpers.digits(2, 1))
        arguments = ["-q", "-s32", "-wrandom:1", "-o", cache, dataset]
        self.assertEqual(helpers.run(*arguments, isa="").returncode, 0)
        if helpers.lacks_isa("avx2"):
            self.skipTest("this processor has one instruction set")
        other = helpers.run(*arguments, isa="generic")
        self.assert_one_line(other, 1, "isa is", "asked for generic (VGGCACHE_ISA")


helpers.main(__name__)
