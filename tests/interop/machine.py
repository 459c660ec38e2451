"""What makes tests right on any machine: slow or fast, alone or beside other programs, as root or as anybody."""

import os
import pathlib
import re
import signal
import subprocess
import time

PATIENCE = 1800  # seconds for what takes some: only what never comes is waited for in vain

# Root may write anywhere, which this user may not; for anybody else the user stays.
NOBODY = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}

# Behind a shell's & and below nohup some signals are ignored, and the programs would inherit that.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


def without_progress(text):
    """Standard error without the lines that a job prints every ten seconds."""
    return re.sub(r"(?m)^(?:extract|train): \d+ of \d+ \w+, \d+ \w+/s, [^\n]* left\n", "", text)


def run(command, **options):
    """Runs a command to its end: .returncode, .stdout, .stderr, the last without progress."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": PATIENCE, **options}
    done = subprocess.run(command, **options)
    if isinstance(done.stderr, str):
        done.stderr = without_progress(done.stderr)
    return done


def wait_for(condition, process=None):
    """Polls until the condition holds (true) or the process has ended (false)."""
    end = time.monotonic() + PATIENCE
    while process is None or process.poll() is None:
        if condition():
            return True
        if time.monotonic() > end:
            if process is not None:
                process.kill()
            raise AssertionError(f"waited {PATIENCE} s in vain")
        time.sleep(0.002)
    return False


def stopped(launch, at_work):
    """Starts a program by launch() and returns it stopped by SIGSTOP at a moment when at_work() holds; starts it anew when
    that moment was missed. at_work() is asked while the program runs, and again once it stands still."""
    for _ in range(100):
        process = launch()
        if wait_for(at_work, process):
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if process.poll() is None and at_work():
                return process
        process.kill()
        process.communicate()
    raise AssertionError("the moment was missed again and again")


def go_on(process, *signals):
    """Sends signals to a stopped process and lets it go on to its end: its standard output and error, without progress."""
    for number in (*signals, signal.SIGCONT):
        process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    return out, without_progress(err)


def cpu_seconds(process):
    """What a running process has used so far, however long that took."""
    try:
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0
