"""Installs ONNX Runtime's build for Node into build/bench/node_modules, from the lock file in tests/bench, once."""
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCK, BUILD = ROOT / "tests" / "bench" / "package-lock.json", ROOT / "build" / "bench"


def install():
    """The folder to run `node` in, or None (with npm's words on standard error) when it cannot be had."""
    stamp = BUILD / "node_modules" / "installed"
    if stamp.exists() and stamp.read_bytes() == LOCK.read_bytes():
        return BUILD
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.copy(LOCK, BUILD / "package-lock.json")
    shutil.copy(LOCK.parent / "package.json", BUILD / "package.json")
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=BUILD,
                          stdout=sys.stderr)
    if done.returncode != 0:
        return None
    stamp.write_bytes(LOCK.read_bytes())
    return BUILD
