#!/usr/bin/env python3
"""run: runs unit test binaries (cmocka) and Python test files, and counts their cases.

    tests/run.py --build=DIR --bin=DIR [--only=WORD] [--tsan] [-v] [--jobs=N] FILE...

Files run two at a time, those that take long first; with --only, those with WORD in their names alone. What a file prints
is shown when it fails, or with -v. A file fails when it ends with a status other than 0, is killed by a signal, takes too
long, or runs no case at all. The last line is "N passed, N failed, N skipped"; the exit status is 1 when anything failed.

Python files get EXTRACT, TRAIN (the programs) and BUILD in their environment. A unit test tells that it skips
something by a line "SKIP: reason".
"""
import argparse
import concurrent.futures
import contextlib
import glob
import os
import re
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMEOUT = 7200  # seconds for one file: on a machine of a tenth of the speed, beside others, it is over by then
# By the processors' time that they take, the most first; the others in their turn.
LONGEST = ("test_classifiers test_features test_network_exports test_weights.py test_kill test_extract test_environment "
           "test_cache_readers test_get test_lbfgs.py test_sweep.py test_checkpoint.py test_streams.py test_conv test_export.py "
           "test_resize.py test_demo test_report.py test_vgg16 test_checkpoint test_fuzz_inputs").split()


class Result:
    """What became of one file."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = 0
        self.skips = []  # reasons
        self.reason = ""  # why the file failed as a whole
        self.output = ""
        self.seconds = 0.0


def count_tap(result):
    """Counts cmocka's TAP lines: "ok 1 - name", "not ok 2 - name", "(not )ok 3 # SKIP name"."""
    reasons = []
    for line in result.output.splitlines():
        said = re.match(r"(?:# )?SKIP: (.*)", line)
        case = re.match(r"(not )?ok \d+ (?:- |(# SKIP) )(.*)", line)
        if said:
            reasons.append(said.group(1))
        elif case and case.group(2):
            if not reasons:
                reasons.append("no reason given")
            result.skips.append(f"{case.group(3)}: {reasons.pop()}")
        elif case and case.group(1):
            result.failed += 1
        elif case:
            result.passed += 1
    result.skips += reasons


def count_unittest(result):
    """Counts unittest's closing lines, and takes the reasons of skips from its verbose ones."""
    ran = sum(int(n) for n in re.findall(r"^Ran (\d+) tests? in ", result.output, re.M))
    numbers = {}
    for details in re.findall(r"^(?:OK|FAILED)(?: \((.*)\))?$", result.output, re.M):
        for name, number in re.findall(r"([a-z ]+)=(\d+)", details):
            numbers[name.strip()] = numbers.get(name.strip(), 0) + int(number)
    result.failed = sum(numbers.get(name, 0) for name in ("failures", "errors", "unexpected successes"))
    result.skips = re.findall(r"""^(?:.* \.\.\. )?skipped ['"](.*)['"]$""", result.output, re.M)
    skipped = numbers.get("skipped", 0)
    result.skips += ["no reason given"] * (skipped - len(result.skips))
    # A class that is skipped as a whole counts as a skip without having run.
    result.passed = max(0, ran - result.failed - skipped)


def run_file(path, environment, timeout=TIMEOUT):
    """Runs one file to its end and judges it."""
    result = Result(os.path.relpath(path, ROOT))
    is_python = path.endswith(".py")
    command = [sys.executable, os.path.abspath(path), "-v"] if is_python else [os.path.abspath(path)]
    start = time.monotonic()
    try:
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
            try:
                output, _ = process.communicate(timeout=timeout)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                output, _ = process.communicate()
                result.reason = f"took longer than {timeout} s"
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what a case that failed has left at work
        status = process.returncode
    except OSError as error:
        output, status, result.reason = b"", 0, str(error)
    result.seconds = time.monotonic() - start
    result.output = output.decode("utf-8", "replace")
    (count_unittest if is_python else count_tap)(result)
    if not result.reason and status < 0:
        result.reason = f"killed by {signal.Signals(-status).name}"
    elif not result.reason and status != 0 and result.failed == 0:
        result.reason = f"ended with status {status}"
    elif not result.reason and result.passed + result.failed + len(result.skips) == 0:
        result.reason = "no test case ran"
    if result.reason:
        result.failed += 1
    return result


def environment_of(options):
    """The environment of the tests: where the programs are, and what the sanitizers shall do."""
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", PYTHONDONTWRITEBYTECODE="1",
                       EXTRACT=os.path.abspath(os.path.join(options.bin, "extract")),
                       TRAIN=os.path.abspath(os.path.join(options.bin, "train")), BUILD=os.path.abspath(options.build))
    if os.path.basename(os.path.normpath(options.build)).endswith("asan"):
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:allocator_may_return_null=1:exitcode=99:"
                               "detect_stack_use_after_return=1:strict_string_checks=1")
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
        environment.setdefault("LSAN_OPTIONS", "exitcode=99")
    if options.tsan:
        environment.setdefault("TSAN_OPTIONS", "ignore_noninstrumented_modules=1:die_after_fork=0:exitcode=66")
        for tool in sorted(glob.glob("/usr/lib/llvm-*/lib/libarcher.so")):  # tells TSan about OpenMP's barriers
            environment.setdefault("OMP_TOOL_LIBRARIES", tool)
    return environment


def turn(path):
    """Where a file stands in the order."""
    name = os.path.basename(path)
    return next((i for i, long in enumerate(LONGEST) if name.startswith(long)), len(LONGEST)), not name.endswith(".py"), name


def report(result, verbose):
    """One line for the file, and what it printed when that is of interest."""
    counts = f"{result.passed} passed"
    if result.failed:
        counts += f", {result.failed} failed"
    if result.skips:
        counts += f", {len(result.skips)} skipped"
    if result.reason:
        counts += f" ({result.reason})"
    if result.failed or verbose:
        print(result.output.rstrip())
    print(f"{'FAIL' if result.failed else 'ok':5}{result.name}: {counts}, {result.seconds:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, metavar="DIR")
    parser.add_argument("--bin", required=True, metavar="DIR")
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--tsan", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    environment = environment_of(options)
    files = sorted((path for path in options.files if options.only in os.path.basename(path)), key=turn)
    if not files:
        parser.error(f"no test file has \"{options.only}\" in its name")
    results = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, options.jobs)) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run_file, path, environment) for path in files]):
            results.append(future.result())
            report(results[-1], options.verbose)
    results.sort(key=lambda result: result.name)
    for result in results:
        for reason in result.skips:
            print(f"SKIP {result.name}: {reason}")
    for result in results:
        if result.failed:
            print(f"FAIL {result.name}{': ' + result.reason if result.reason else ''}")
    passed, failed = sum(r.passed for r in results), sum(r.failed for r in results)
    print(f"{passed} passed, {failed} failed, {sum(len(r.skips) for r in results)} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
