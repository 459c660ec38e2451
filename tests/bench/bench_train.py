#!/usr/bin/env python3
"""bench_train: how fast bin/train is, beside what bounds it on this machine and beside other software on the same cache.

All run in turn, round after round, on the same features and with the same numbers of threads; a ratio is taken within a
round. What is measured, and how the bounds are derived, stands in README.md beside this file, section "train".

Wrong results stop the bench: PyTorch's validation loss must come out like ours after as many epochs, and both L-BFGS fits
are judged by the objective, computed here in float64. That a requirement is not met is reported, and is no failure.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

from bench_common import (BUILD, HERE, ROOT, Failure, Machine, build_tool, deliver, describe_disturbance,
                          describe_machine, finish, install_missing, lay_out, least_disturbed, need_program, pinned_here, say,
                          show_spread, spread, whole)

sys.path.insert(0, str(ROOT / "tests" / "interop"))

MODULES = {"numpy": "python3-numpy", "h5py": "python3-h5py", "torch": "python3-torch", "sklearn": "python3-sklearn"}
PROGRAMS = {"gcc": "gcc"}
DATASET = pathlib.Path("/usr/share/datasets/fashion-mnist")

SPLIT = 0.2
BATCH_SIZE = 128
SWEEP = "lr=1e-4,3e-4,1e-3,3e-3,1e-2,3e-2,1e-1,3e-1;l2=0,1e-5,1e-4,1e-3"
SWEEP_HEADS = 32
TOLERANCE = 1e-6  # of L-BFGS: the slope's norm over that at the start
LIKE_TORCH = 0.4  # largest relative difference of the validation losses; seeds alone make up to 0.25 early in a fit
NOT_ABOVE = 1 + 1e-6  # our objective over scikit-learn's
# What is asked for; LIMITS[name] = (at most or at least, figure).
LIMITS = {"train / bound": ("<=", 2.0), "torch / train": (">=", 15.0), "sklearn / lbfgs": (">", 1.0), "load": ("<=", 0.3),
          "sweep / train": ("<=", 6.0)}


# ---- What the bench needs ----


class Cache:
    """The cache's shape, and the labels and standardized features that the judge of L-BFGS computes with."""

    def __init__(self, path):
        import h5py
        import keras_reference
        self.path = path
        try:
            with h5py.File(path, "r") as file:
                if file.attrs["format"] not in ("vggcache", b"vggcache") or file.attrs["complete"] != 1:
                    raise Failure(f"{path}: not a complete cache")
                features, labels = file["train/features"][:], file["train/labels"][:]
                self.rows, self.dim = features.shape
                self.test_rows, self.classes = len(file["test/labels"]), int(file.attrs["classes"])
                self.source = decode(file.attrs["weights_source"]) + " on " + decode(file["train"].attrs["source"])
        except (OSError, KeyError) as error:
            raise Failure(f"{path}: not a cache: {error}") from error
        self.fitted = keras_reference.split_at(self.rows, SPLIT)
        self.validation = self.rows - self.fitted
        self.labels = labels[:self.fitted]
        self.mean, self.deviation = keras_reference.moments(features[:self.fitted])
        self.z = (features[:self.fitted] - self.mean) / self.deviation

    def nbytes(self, validation):
        """Bytes of the features that an epoch reads."""
        return 4 * self.dim * (self.fitted + validation * self.validation)

    def macs(self):
        """Multiply-adds of an epoch: forward and gradient for each fitted row, forward for each validation row."""
        return self.dim * self.classes * (2 * self.fitted + self.validation)


def decode(text):
    return text.decode() if isinstance(text, bytes) else str(text)


def make_cache(extract):
    """A random backbone's features of Fashion-MNIST; extract does nothing when they are there already."""
    if not DATASET.is_dir():
        subprocess.run([ROOT / ".ci" / "install", "dataset-fashion-mnist"], check=True, stdout=sys.stderr)
    path = BUILD / "features.h5"
    if not path.exists():
        say("filling build/bench/features.h5, once; this takes a minute or more")
    subprocess.run([extract, "--quiet", "--weights=random:1", f"--output={path}", DATASET], check=True)
    return path


class Bench:
    """Programs, machine and cache. Each measure_*() returns one measurement of a round."""

    def __init__(self, options, work):
        self.options, self.work, self.machine = options, work, Machine()
        self.threads = len(os.sched_getaffinity(0))
        self.peak_program, self.bandwidth_program = build_tool("peak"), build_tool("bandwidth")
        self.cache = Cache(options.cache or make_cache(options.extract))
        self.has_sweep = "--sweep" in self.machine.run([options.train, "--help"], 1)
        self.isa, self.versions = "", set()
        self.torch_threads = self.choose_torch_threads()

    # -- the bounds --

    def measure_bandwidth(self):
        megabytes = max(1000, self.cache.nbytes(True) * 4 // 1000000)
        return {"gbytes_per_second": float(self.machine.run([self.bandwidth_program, self.threads, megabytes], self.threads,
                                                            timed=True))}

    def measure_peak(self):
        return {"gflops": float(self.machine.run([self.peak_program, self.threads, 0.3], self.threads, timed=True))}

    # -- bin/train --

    def train(self, threads, *more):
        """Report of a fit, with the seconds of the whole process; self.machine.errors has what it said."""
        report = self.work / "report.json"
        self.machine.run([self.options.train, f"--threads={threads}", f"--validation-split={SPLIT}", f"--json={report}",
                          f"--output={self.work / 'head.h5'}", *more, self.cache.path], threads, timed=True)
        return {**json.loads(report.read_text(encoding="utf-8")), "process": self.machine.elapsed}

    def measure_train(self, threads):
        result = self.train(threads, f"--epochs={self.options.epochs}", f"--batch-size={BATCH_SIZE}", "--quiet")
        history = result["history"]
        if len(history) != self.options.epochs:
            raise Failure(f"train ended after {len(history)} epochs")
        nth = history[self.options.torch_epochs - 1]
        return {"per_epoch": sum(epoch["seconds"] for epoch in history) / len(history), "process": result["process"],
                "val_loss": nth["val_loss"], "val_accuracy": nth["val_accuracy"], "test": result["test"]}

    def measure_load(self):
        self.train(self.threads, "--epochs=1", "--verbose")
        found = re.search(r"read and verified ([\d,]+) rows of \d+ features in ([\d.]+) s", self.machine.errors)
        isa = re.search(r"\b(generic|avx2|avx512)\b", self.machine.errors)
        if not found or not isa or int(found[1].replace(",", "")) != self.cache.rows + self.cache.test_rows:
            raise Failure("train --verbose does not say how long it took to read and verify all rows, or with what kernels")
        self.isa = isa[1]
        return {"seconds": float(found[2])}

    def measure_sweep(self):
        """Time of an epoch as the difference of two whole runs, so that neither loading nor reports count."""
        process, few, many = {}, self.options.sweep_epochs, 3 * self.options.sweep_epochs
        elsewhere = 0
        for epochs in (few, many):
            self.machine.run([self.options.train, f"--threads={self.threads}", f"--validation-split={SPLIT}", "--quiet",
                              f"--batch-size={BATCH_SIZE}", f"--epochs={epochs}", f"--sweep={SWEEP}",
                              f"--output={self.work / 'sweep.h5'}", self.cache.path], self.threads, timed=True)
            process[epochs], elsewhere = self.machine.elapsed, max(elsewhere, self.machine.latest)
        self.machine.latest = elsewhere
        return {"per_epoch": (process[many] - process[few]) / (many - few), "process": process[many]}

    # -- PyTorch --

    def torch(self, threads, epochs):
        answer = json.loads(self.machine.run([sys.executable, HERE / "peer_torch_fit.py", self.cache.path, SPLIT, BATCH_SIZE,
                                              epochs, ",".join(map(str, threads))], self.threads, timed=True))
        self.versions.add(answer["version"])
        return {result["threads"]: result["history"] for result in answer["results"]}

    def choose_torch_threads(self):
        some = sorted({n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64) if n < self.threads} | {self.threads})
        trial = self.torch(some, 2)
        seconds = {threads: min(epoch["seconds"] for epoch in history) for threads, history in trial.items()}
        say("trial of PyTorch: " + ", ".join(f"{threads} threads {1e3 * s:.0f} ms an epoch" for threads, s in seconds.items()))
        return min(seconds, key=seconds.get)

    def measure_torch(self):
        history = self.torch([self.torch_threads], self.options.torch_epochs)[self.torch_threads]
        return {"per_epoch": statistics.mean(epoch["seconds"] for epoch in history), "val_loss": history[-1]["val_loss"],
                "val_accuracy": history[-1]["val_accuracy"]}

    # -- L-BFGS --

    def objective(self, kernel, bias):
        """f in float64, and the largest slope of n f in one weight, which is what scikit-learn stops by."""
        import keras_reference
        import numpy
        logits = self.cache.z @ kernel + bias
        error = numpy.exp(keras_reference.log_softmax(logits))
        error[numpy.arange(len(error)), self.cache.labels] -= 1
        slope = self.cache.z.T @ error + 2 * self.options.l2 * len(error) * kernel
        loss = keras_reference.evaluate(kernel, bias, self.cache.z, self.cache.labels, self.options.l2)[0]
        return float(loss), float(max(abs(slope).max(), abs(error.sum(axis=0)).max()))

    def measure_lbfgs(self):
        import h5py
        import numpy
        result = self.train(self.threads, "--optimizer=lbfgs", "--standardize", f"--l2={self.options.l2}", "--epochs=5000",
                            f"--tolerance={TOLERANCE}", "--quiet")
        with h5py.File(self.work / "head.h5", "r") as file:
            kernel, bias = (file["dense/dense/" + name][:].astype(float) for name in ("kernel:0", "bias:0"))
        scale = numpy.where(numpy.isfinite(self.cache.deviation), self.cache.deviation, 0)  # a constant feature has no weight
        objective, slope = self.objective(kernel * scale[:, None], bias + self.cache.mean @ kernel)
        return {"seconds": result["seconds"], "process": result["process"], "iterations": result["epochs"],
                "objective": objective, "slope": slope}

    def measure_sklearn(self, slope):
        import numpy
        out = self.work / "sklearn.npz"
        answer = json.loads(self.machine.run([sys.executable, HERE / "peer_sklearn_fit.py", self.cache.path, SPLIT,
                                              self.options.l2, slope, out], self.threads, timed=True))
        self.versions.add(answer.pop("version"))
        weights = numpy.load(out)
        objective, reached = self.objective(weights["kernel"], weights["bias"])
        return {**answer, "objective": objective, "slope": reached}

    def list_versions(self):
        gcc = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
        return [self.machine.run([self.options.train, "--version"], 1).strip(), *sorted(self.versions),
                f"Python {platform.python_version()}", gcc]

    # -- one round --

    def round(self, number):
        def measured(name, measure, **more):
            figures[name] = least_disturbed(self.machine, measure, **more)

        figures = {}
        measured("bandwidth", self.measure_bandwidth)
        measured("peak", self.measure_peak)
        measured("train", lambda: self.measure_train(self.threads))
        measured("train on 1 thread", lambda: self.measure_train(1))
        measured("torch", self.measure_torch)
        measured("load", self.measure_load)
        if self.has_sweep:
            measured("sweep", self.measure_sweep)
        if self.options.l2 > 0:
            measured("lbfgs", self.measure_lbfgs, attempts=1)  # they take long
            measured("sklearn", lambda: self.measure_sklearn(figures["lbfgs"]["slope"]), attempts=1)
        self.judge(figures)
        say(f"round {number} of {self.options.rounds}: " +
            ", ".join(f"{name} {1e3 * run['per_epoch']:.2f} ms" for name, run in figures.items() if "per_epoch" in run))
        return figures

    def judge(self, figures):
        ours, theirs = figures["train"], figures["torch"]
        if not abs(ours["val_loss"] - theirs["val_loss"]) <= LIKE_TORCH * theirs["val_loss"]:
            raise Failure(f"after {self.options.torch_epochs} epochs the validation losses differ: {ours['val_loss']:.4f} here, "
                          f"{theirs['val_loss']:.4f} with PyTorch; no figure is reported")
        if ours["test"] != figures["train on 1 thread"]["test"]:
            raise Failure("the results depend on the number of threads; no figure is reported")
        if "lbfgs" in figures and not figures["lbfgs"]["objective"] <= figures["sklearn"]["objective"] * NOT_ABOVE:
            raise Failure(f"L-BFGS ends at {figures['lbfgs']['objective']:.9f}, scikit-learn's at "
                          f"{figures['sklearn']['objective']:.9f}; no figure is reported")


# ---- The figures ----


def summarise(bench, rounds):
    """{name: spread} of times in seconds, and of ratios taken within each round."""
    cache, figures = bench.cache, {}

    def each(name, value):
        figures[name] = spread([value(one) for one in rounds])

    def memory(one, validation):
        return cache.nbytes(validation) / one["bandwidth"]["gbytes_per_second"] * 1e-9

    def arithmetic(one):
        return 2 * cache.macs() / one["peak"]["gflops"] * 1e-9

    def bound(one, validation):
        return max(memory(one, validation), arithmetic(one))

    each("bandwidth", lambda one: one["bandwidth"]["gbytes_per_second"])
    each("peak", lambda one: one["peak"]["gflops"])
    each("memory, fitted rows", lambda one: memory(one, False))
    each("memory, with validation", lambda one: memory(one, True))
    each("arithmetic", arithmetic)
    for name in ("train", "train on 1 thread", "torch"):
        each(name, lambda one, name=name: one[name]["per_epoch"])
    each("train / bound", lambda one: one["train"]["per_epoch"] / bound(one, True))
    each("train / bound, fitted rows", lambda one: one["train"]["per_epoch"] / bound(one, False))
    each("train on 1 thread / train", lambda one: one["train on 1 thread"]["per_epoch"] / one["train"]["per_epoch"])
    each("torch / train", lambda one: one["torch"]["per_epoch"] / one["train"]["per_epoch"])
    each("process", lambda one: one["train"]["process"])
    each("process on 1 thread", lambda one: one["train on 1 thread"]["process"])
    each("load", lambda one: one["load"]["seconds"])
    if bench.has_sweep:
        each("sweep", lambda one: one["sweep"]["per_epoch"])
        each("sweep / train", lambda one: one["sweep"]["per_epoch"] / one["train"]["per_epoch"])
        each("sweep's arithmetic", lambda one: SWEEP_HEADS * arithmetic(one))
        each("sweep's arithmetic / train", lambda one: SWEEP_HEADS * arithmetic(one) / one["train"]["per_epoch"])
        each("sweep / its arithmetic", lambda one: one["sweep"]["per_epoch"] / (SWEEP_HEADS * arithmetic(one)))
    if "lbfgs" in rounds[0]:
        each("lbfgs", lambda one: one["lbfgs"]["seconds"])
        each("sklearn", lambda one: one["sklearn"]["seconds"])
        each("sklearn / lbfgs", lambda one: one["sklearn"]["seconds"] / one["lbfgs"]["seconds"])
        each("lbfgs process", lambda one: one["lbfgs"]["process"])
    return figures


def verdict(name, figures):
    """What is asked for, and whether the median is so."""
    relation, limit = LIMITS[name]
    value = figures[name]["median"]
    met = value <= limit if relation == "<=" else value >= limit if relation == ">=" else value > limit
    return f"{relation} {limit:g}: {'met' if met else 'NOT MET'}"


def write_table(bench, figures, threads):
    """Rows: what, of what, figure, ratio within a round, what is asked for."""
    cache, epochs = bench.cache, bench.options.epochs
    table = [["what", "how", "median (least - greatest)", "ratio within a round", "asked for"]]

    def row(what, how, name, scale, digits, unit, ratio=None, asked=None):
        show = f"{show_spread(figures[ratio], 2)} x" if ratio else ""
        table.append([what, how, show_spread(figures[name], digits, scale, " " + unit), show, verdict(asked, figures) if asked else ""])

    def per_epoch(what, how, name, ratio=None, asked=None):
        row(what, how, name, 1e3, 2, "ms", ratio, asked)

    per_epoch("bound: reading the fitted rows", f"{1e-6 * cache.nbytes(False):.1f} MB an epoch, {threads}", "memory, fitted rows")
    per_epoch("bound: reading validation rows too", f"{1e-6 * cache.nbytes(True):.1f} MB an epoch, {threads}", "memory, with validation")
    per_epoch("bound: multiply-adds", f"{1e-6 * cache.macs():.0f} M an epoch, {threads}", "arithmetic")
    per_epoch("**train**, an epoch", f"of {epochs}, {threads}", "train")
    table.append(["the same over the larger bound", "validation rows read too", "",
                  f"{show_spread(figures['train / bound'], 2)} x", verdict("train / bound", figures)])
    table.append(["", "fitted rows read alone", "", f"{show_spread(figures['train / bound, fitted rows'], 2)} x", ""])
    per_epoch("**train**, an epoch", f"of {epochs}, 1 thread", "train on 1 thread", "train on 1 thread / train")
    per_epoch("PyTorch, an epoch", f"of {bench.options.torch_epochs}, best with {count(bench.torch_threads)}", "torch",
              "torch / train", "torch / train")
    row("**train**, start to exit", f"{epochs} epochs, {threads}", "process", 1, 2, "s")
    row("**train**, start to exit", f"{epochs} epochs, 1 thread", "process on 1 thread", 1, 2, "s")
    row("**train**, reading and verifying", f"{cache.rows + cache.test_rows:,} rows, warm", "load", 1, 2, "s", asked="load")
    if bench.has_sweep:
        per_epoch(f"**train --sweep**, an epoch of {SWEEP_HEADS} heads", f"{threads}, beside one head", "sweep", "sweep / train",
                  "sweep / train")
        per_epoch(f"bound: multiply-adds of {SWEEP_HEADS} heads", "beside one head", "sweep's arithmetic",
                  "sweep's arithmetic / train")
        table.append(["the sweep over that bound", "", "", f"{show_spread(figures['sweep / its arithmetic'], 2)} x", ""])
    if "lbfgs" in figures:
        row("**train** L-BFGS, the fit", threads, "lbfgs", 1, 2, "s")
        row("**train** L-BFGS, start to exit", threads, "lbfgs process", 1, 2, "s")
        row("scikit-learn L-BFGS, fit() alone", threads, "sklearn", 1, 2, "s", "sklearn / lbfgs", "sklearn / lbfgs")
    return lay_out(table)


def count(number, what="thread"):
    return f"{number} {what}{'s' if number > 1 else ''}"


def write_report(bench, rounds, figures, machine):
    cache, options, threads = bench.cache, bench.options, count(bench.threads)
    lines = [f"Median (least - greatest) of {count(options.rounds, 'round')}, all in turn in each. Batch {BATCH_SIZE}, Adam, shuffled, "
             f"{cache.fitted:,} rows x {cache.dim} features fitted, {cache.validation:,} validated each epoch, "
             f"{cache.classes} classes.",
             f"Memory: {show_spread(figures['bandwidth'], 1)} GB/s read by {threads}; multiply-add peak: "
             f"{show_spread(figures['peak'], 0)} GFLOP/s.",
             f"Features: {cache.source}."]
    last = rounds[-1]
    lines.append(f"Validation loss and accuracy after {options.torch_epochs} epochs: {last['train']['val_loss']:.4f}, "
                 f"{last['train']['val_accuracy']:.4f} with train, {last['torch']['val_loss']:.4f}, "
                 f"{last['torch']['val_accuracy']:.4f} with PyTorch.")
    if "lbfgs" in last:
        ours, theirs = last["lbfgs"], last["sklearn"]
        lines.append(f"L-BFGS: l2 {options.l2:g}, tolerance {TOLERANCE:g}; objective {ours['objective']:.9f} after "
                     f"{ours['iterations']} iterations, scikit-learn's {theirs['objective']:.9f} after {theirs['iterations']}; largest "
                     f"slope of n f {ours['slope']:.2g}, which is scikit-learn's tol, and {theirs['slope']:.2g}.")
    if not bench.has_sweep:
        lines.append(f"SKIPPED: {SWEEP_HEADS} heads at once, because this train has no --sweep.")
    lines.append(f"Machine: {describe_machine(machine)}, {bench.isa} kernels; load at the start {machine['load_at_start']:.2f}.")
    lines.append("Versions: " + "; ".join(bench.list_versions()) + ".")
    lines += describe_disturbance([run for one in rounds for run in one.values()])
    pinned = pinned_here()
    lines.append("OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE were unset for all programs" +
                 (f", though set in this environment ({', '.join(pinned)})." if pinned else "."))
    return "\n".join(lines + [""] + write_table(bench, figures, threads)) + "\n"


# ---- The command line ----


def penalty(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e3:
        raise argparse.ArgumentTypeError(f"{text}: must be from 0 to 1000")
    return value


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--rounds", type=whole(1, 1000), default=5, metavar="N", help="default 5")
    parser.add_argument("--epochs", type=whole(3, 10000), default=200, metavar="N", help="of train, default 200")
    parser.add_argument("--torch-epochs", type=whole(1, 100), default=3, metavar="N", help="of PyTorch in a round, default 3")
    parser.add_argument("--sweep-epochs", type=whole(1, 1000), default=10, metavar="N",
                        help="N and 3 N epochs of the sweep are run, and the difference counts; default 10")
    parser.add_argument("--l2", type=penalty, default=1e-4, metavar="X", help="of L-BFGS, default 1e-4; 0 leaves L-BFGS out")
    parser.add_argument("--cache", type=pathlib.Path, metavar="FILE",
                        help="a complete cache (default: Fashion-MNIST and a random backbone, in build/bench)")
    parser.add_argument("--train", type=pathlib.Path, default=ROOT / "bin" / "train", metavar="FILE",
                        help="another build of bin/train")
    parser.add_argument("--extract", type=pathlib.Path, default=ROOT / "bin" / "extract", metavar="FILE",
                        help="another build of bin/extract")
    parser.add_argument("--out", type=pathlib.Path, default=BUILD / "train.md", metavar="FILE",
                        help="FILE.md and FILE.json get the results (default build/bench/train)")
    options = parser.parse_args()
    if options.torch_epochs > options.epochs:
        parser.error("--torch-epochs is more than --epochs")
    return options


def run(options, work):
    machine, bench = Machine.describe(), Bench(options, work)
    if not bench.has_sweep:
        say(f"SKIPPED: {SWEEP_HEADS} heads at once: {options.train} has no --sweep")
    rounds = [bench.round(number + 1) for number in range(options.rounds)]
    figures = summarise(bench, rounds)
    text = write_report(bench, rounds, figures, machine)
    settings = {name: str(value) if isinstance(value, pathlib.Path) else value for name, value in vars(options).items()}
    return {"machine": machine, "isa": bench.isa, "settings": settings, "unset": pinned_here(), "versions": bench.list_versions(),
            "threads": bench.threads, "torch_threads": bench.torch_threads, "figures": figures, "rounds": rounds}, text


def main():
    options = parse_arguments()

    def all_of_it():
        need_program(options.train)
        need_program(options.extract)
        install_missing(MODULES, PROGRAMS)
        with tempfile.TemporaryDirectory(prefix="work-", dir=BUILD) as work:
            report, text = run(options, pathlib.Path(work))
        deliver(report, text, options.out)
    return finish(all_of_it)


if __name__ == "__main__":
    sys.exit(main())
