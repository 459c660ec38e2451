"""What the benches share: children on given processors, watched for what else ran meanwhile; the measurement that was
disturbed least; medians, tables and the lines of a report that tell of the machine. Nothing here knows what is measured."""

import argparse
import importlib.util
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
BUILD = ROOT / "build" / "bench"

PINNED = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]  # unset for the contestants: they choose slow kernels
QUIET = 0.03  # share of its processors' time that others may take from a measurement before it is repeated
ATTEMPTS = 3
CHILD_TIMEOUT = 3600


class Failure(Exception):
    """What stops the bench, in one line."""


def say(text):
    print(f"{pathlib.Path(sys.argv[0]).stem}: {text}", file=sys.stderr, flush=True)


# ---- The machine ----


def choose_processors(count):
    """`count` of the processors that this process may use, of different cores first."""
    allowed, firsts, seconds, seen = sorted(os.sched_getaffinity(0)), [], [], set()
    for processor in allowed:
        try:
            path = pathlib.Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
            core = path.read_text(encoding="ascii").strip()
        except OSError:
            core = processor
        (seconds if core in seen else firsts).append(processor)
        seen.add(core)
    if count > len(allowed):
        raise Failure(f"--threads={count}: only {len(allowed)} processors here")
    return (firsts + seconds)[:count]


def busy_seconds(processors):
    """Seconds that these processors have worked, or that the machine's host has taken away from them."""
    total, names = 0, {f"cpu{processor}" for processor in processors}
    with open("/proc/stat", encoding="ascii") as file:
        for name, *ticks in (line.split() for line in file if line.startswith("cpu")):
            if name in names:
                user, nice, system, _, _, irq, softirq, steal = (int(word) for word in ticks[:8])
                total += user + nice + system + irq + softirq + steal
    return total / os.sysconf("SC_CLK_TCK")


class Machine:
    """Runs children on given processors, and keeps an eye on what else these were doing meanwhile."""

    def __init__(self):
        self.latest = 0.0  # share of the processors' time that others took during the latest timed child
        self.elapsed = 0.0  # seconds of the latest child, start to exit
        self.errors = ""  # what it wrote to standard error

    def run(self, command, threads, pinned_blas=False, timed=False):
        """The child's standard output. OPENBLAS_* of the environment are unset unless `pinned_blas`."""
        environment = {name: value for name, value in os.environ.items() if pinned_blas or name not in PINNED}
        environment.update(OMP_NUM_THREADS=str(threads), NODE_PATH=str(BUILD / "node_modules"))
        processors = choose_processors(threads)
        usage, busy, begin = resource.getrusage(resource.RUSAGE_CHILDREN), busy_seconds(processors), time.monotonic()
        done = subprocess.run([str(word) for word in command], env=environment, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=CHILD_TIMEOUT, check=False,
                              preexec_fn=lambda: os.sched_setaffinity(0, processors))
        self.elapsed, self.errors = time.monotonic() - begin, done.stderr
        if done.returncode != 0:
            tail = " / ".join(done.stderr.strip().splitlines()[-3:])
            raise Failure(f"{pathlib.Path(command[0]).name}: exit status {done.returncode}: {tail}")
        if timed:
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            own = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
            self.latest = max(0.0, (busy_seconds(processors) - busy - own) / (self.elapsed * threads))
        return done.stdout

    @staticmethod
    def describe():
        model, kernel = platform.processor() or platform.machine(), platform.release()
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    model = line.split(":", 1)[1].strip()
                    break
        return {"cpu": model, "processors": os.cpu_count(), "usable": len(os.sched_getaffinity(0)), "kernel": kernel,
                "load_at_start": os.getloadavg()[0], "date": time.strftime("%Y-%m-%d %H:%M")}


def least_disturbed(machine, measure, attempts=ATTEMPTS):
    """What measure() returns, a dictionary. A measurement in which others took processor time is repeated, and the
    quietest kept; how fast it was plays no part in that."""
    least = None
    for attempt in range(attempts):
        result = measure()
        result.update(elsewhere=machine.latest, attempt=attempt + 1)
        if least is None or result["elsewhere"] < least["elsewhere"]:
            least = result
        if least["elsewhere"] <= QUIET:
            break
    return least


# ---- What a bench needs ----


def install_missing(modules, programs):
    """Debian's packages {module: package} and {program: package} that are not there."""
    needed = [package for name, package in modules.items() if importlib.util.find_spec(name) is None]
    needed += [package for name, package in programs.items() if shutil.which(name) is None]
    if needed:
        subprocess.run([ROOT / ".ci" / "install", *needed], check=True, stdout=sys.stderr)
        importlib.invalidate_caches()


def build_tool(name):
    """One of the C files here that stand alone, for this very machine."""
    program = BUILD / name
    subprocess.run(["gcc", "-O2", "-march=native", "-fopenmp", HERE / f"{name}.c", "-o", program], check=True)
    return program


# ---- The report ----


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def lay_out(table):
    """A Markdown table whose columns line up; all but the first two are numbers."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for i, row in enumerate(table):
        cells = [cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |")
        if i == 0:
            lines.append("|" + "|".join("-" * (w + 2) if c < 2 else "-" * (w + 1) + ":" for c, w in enumerate(widths)) + "|")
    return lines


def show_spread(values, digits, scale=1.0, unit=""):
    low, middle, high = (f"{scale * values[name]:.{digits}f}" for name in ("min", "median", "max"))
    return f"{middle}{unit} ({low} - {high})"


def describe_machine(machine):
    return f"{machine['cpu']}, {machine['usable']} processors, Linux {machine['kernel']}, {machine['date']}"


def describe_disturbance(runs):
    """Lines on what else ran, of results of least_disturbed()."""
    shares = [run["elsewhere"] for run in runs]
    lines = [f"Other processes took {100 * statistics.median(shares):.1f} % of a measurement's processor time (median; at most "
             f"{100 * max(shares):.0f} %); one that lost more than {100 * QUIET:.0f} % was repeated up to {ATTEMPTS - 1} times and "
             "the quietest kept."]
    disturbed = sum(share > QUIET for share in shares)
    if disturbed:
        lines.append(f"NOT A QUIET MACHINE: {disturbed} of {len(runs)} measurements stayed disturbed; run the bench again when "
                     "nothing else runs.")
    return lines


def pinned_here():
    return [f"{name}={os.environ[name]}" for name in PINNED if name in os.environ]


def write_whole(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def deliver(report, text, out):
    """Prints the text, and leaves it in OUT.md and the report in OUT.json; an ending .md or .json of `out` does not count."""
    base = out.with_suffix("") if out.suffix in (".md", ".json") else out
    base.parent.mkdir(parents=True, exist_ok=True)
    write_whole(base.with_name(base.name + ".md"), text)
    write_whole(base.with_name(base.name + ".json"), json.dumps(report, indent=1) + "\n")
    print(text, end="")
    say(f"also in {base}.md and .json")


# ---- The command line ----


def finish(bench):
    """Runs bench() and returns the exit status; what stops it is said in one line."""
    try:
        BUILD.mkdir(parents=True, exist_ok=True)
        bench()
    except (Failure, subprocess.SubprocessError, OSError, ValueError) as failure:
        say(str(failure))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def need_program(path):
    if not os.access(path, os.X_OK):
        raise Failure(f"{path}: not there; run make first")


def whole(low, high):
    def parse(text):
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text}: must be a whole number from {low} to {high}")
        return int(text)
    return parse


def listed(parse):
    return lambda text: [parse(word) for word in text.split(",")]
