#!/usr/bin/env python3
"""lint: holds the C files to the rules of the tree that no compiler checks.

    tests/lint.py FILE...       checks these files, from the root of the tree
    tests/lint.py --self-test   shows that every rule can fire

Rules:
  layers    a folder includes itself and what its row of the table LAYERS names; what is included with quotes is named
            from the root
  circles   no two units (NAME.c and NAME.h) include each other, or call each other, directly or through others
  doubles   no two units of the tree bear one name; main and options are each program's own
  name      the first line is a comment that begins with the file's own name, or its group's ("/* idx: ...")
  guard     a header's include guard is its path (EXTRACT_IDX_H); only a *_template.h, included again and again, has none
  prefix    a symbol that links begins with the name of its file or of its group; head_io.c is of the group head when
            there is a head.h. main.c has main and argp_program_version alone
  paths     no path of one machine (/work/, /root/, /farm/, /home/)
  marks     nothing is left to do: no TODO, FIXME, XXX
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Each folder, and the folders that it may include beside itself: all stand above it in this table.
LAYERS = {
    "common/base": [],
    "common/cache": ["common/base"],
    "common/images": ["common/base"],
    "common/network": ["common/base"],
    "common/network/winograd": ["common/base", "common/network"],
    "common": ["common/base", "common/images", "common/network"],
    "extract": ["common", "common/base", "common/cache", "common/images", "common/network"],
    "train/rows": ["common/base", "common/cache"],
    "train/head": ["common/base", "common/cache", "train/rows"],
    "train/fit": ["common/base", "common/cache", "train/rows", "train/head"],
    "train/results": ["common/base", "common/cache", "train/rows", "train/head", "train/fit"],
    "train/export": ["common/base", "common/cache", "common/network", "train/rows", "train/head"],
    "train/report": ["common/base", "common/cache", "common/images", "train/rows", "train/head", "train/fit", "train/results"],
    "train": ["common", "common/base", "common/cache", "common/images", "common/network", "train/rows", "train/head",
              "train/fit", "train/results", "train/export", "train/report"],
}
OWN_NAMES = ("main", "options")  # units that each program has
MODULES = ("hdf5", "openblas", "zlib", "libcrypto", "libisal", "libcjson", "libprotobuf-c")


def groups_of(path, root):
    """All names that stand for a file: its own, and those of its groups, which are the headers beside it whose names are
    parts of its own: head_io.c is of head.h, conv_winograd.c of conv.h and winograd.h."""
    stem = os.path.splitext(os.path.basename(path))[0]
    parts = stem.split("_")
    names = {stem}
    for first in range(len(parts)):
        for end in range(first + 1, len(parts) + 1):
            name = "_".join(parts[first:end])
            if os.path.exists(os.path.join(root, os.path.dirname(path), name + ".h")):
                names.add(name)
    return names


def check_text(path, text, root):
    """The rules that need the text alone."""
    lines = text.splitlines() or [""]
    folder = os.path.dirname(path)
    names = groups_of(path, root)
    if path.startswith("tests/"):
        names = {os.path.splitext(os.path.basename(path))[0]}
    if not any(re.match(rf"/\* {re.escape(name)}[: ]", lines[0]) for name in names):
        yield 1, f"name: the first line must be a comment that begins with \"{sorted(names)[0]}: \""
    if path.endswith(".h") and not path.endswith("_template.h"):
        guard = re.sub(r"[^A-Z0-9]", "_", path.upper())
        directives = [(i, line) for i, line in enumerate(lines, 1) if line.startswith("#")]
        if [line for _, line in directives[:2]] != [f"#ifndef {guard}", f"#define {guard}"] \
                or directives[-1][1].split()[0] != "#endif":
            yield directives[0][0] if directives else 1, f"guard: the include guard must be {guard}"
    for number, line in enumerate(lines, 1):
        include = re.match(r'\s*#\s*include\s*"([^"]*)"', line)
        if include and folder in LAYERS and not include.group(1).endswith(".pb-c.h") \
                and os.path.dirname(include.group(1)) not in [folder, *LAYERS[folder]]:
            yield number, f"layers: {folder}/ may include {', '.join(LAYERS[folder]) or 'itself'} alone, not {include.group(1)}"
        if re.search(r"(?<![\w.])/(work|root|farm|home)/", line):
            yield number, "paths: a path of one machine"
        mark = re.search(r"\b(TODO|FIXME|XXX)\b", line)
        if mark:
            yield number, f"marks: {mark.group(1)}"


def check_symbols(path, symbols, root):
    """Global symbols by the names of the file's groups."""
    if os.path.basename(path) == "main.c":
        wrong = [name for name in symbols if name not in ("main", "argp_program_version")]
    else:
        prefixes = groups_of(path, root)
        wrong = [name for name in symbols if not any(name == p or name.startswith(p + "_") for p in prefixes)]
    for name in wrong:
        yield line_of(os.path.join(root, path), name), f"prefix: {name} links, but does not begin with the file's name"


def line_of(path, name):
    """The line where a name is first used at the beginning of a declaration, or 1."""
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if re.match(rf"\w.*\b{re.escape(name)}\b", line):
                return number
    return 1


def global_symbols(path, root, scratch):
    """The symbols that the file's object defines, and those that it needs of others, as nm finds them: in the object of
    the last build when that is newer than the source, or in a new one."""
    built = os.path.join(root, "build/release", os.path.splitext(path)[0] + ".o")
    source = os.path.join(root, path)
    if not os.path.exists(built) or os.path.getmtime(built) < os.path.getmtime(source):
        built = os.path.join(scratch, "object.o")
        flags = subprocess.run(["pkg-config", "--cflags", *MODULES], stdout=subprocess.PIPE, text=True, check=True).stdout
        isa = {"avx2": ["-mavx2", "-mfma"],
               "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]}
        extra = isa.get(os.path.splitext(path)[0].split("_")[-1], []) if os.uname().machine == "x86_64" else []
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", '-DVGGCACHE_VERSION="0"', "-I.", "-Ibuild/proto",
                        "-fopenmp", "-w", *flags.split(), *extra, "-c", path, "-o", built], cwd=root, check=True)
    output = subprocess.run(["nm", "--extern-only", "--format=posix", built], stdout=subprocess.PIPE, text=True,
                            check=True).stdout
    names = [line.split()[:2] for line in output.splitlines() if line.strip()]
    names = [(name, kind) for name, kind in names if not name.startswith("__")]  # the sanitizers' and the compiler's own
    return [name for name, kind in names if kind != "U"], [name for name, kind in names if kind == "U"]


def unit_of(path):
    """A unit is NAME.c with NAME.h."""
    return os.path.splitext(path)[0]


def find_circle(arrows):
    """A list of units that lead to each other and back, or None."""
    state = {}

    def visit(unit, trail):
        if state.get(unit) == "done":
            return None
        if unit in trail:
            return trail[trail.index(unit):] + [unit]
        for other in sorted(arrows.get(unit, ())):
            circle = visit(other, trail + [unit])
            if circle:
                return circle
        state[unit] = "done"
        return None

    return next(filter(None, (visit(unit, []) for unit in sorted(arrows))), None)


def check_circles(paths, root, called):
    """Circles of includes, and of calls: called[path] is (symbols that an object defines, symbols that it lacks)."""
    includes, calls = {}, {}
    for path in paths:
        with open(os.path.join(root, path), encoding="utf-8") as stream:
            for name in re.findall(r'^\s*#\s*include\s*"([^"]*)"', stream.read(), re.M):
                if unit_of(name) != unit_of(path):
                    includes.setdefault(unit_of(path), set()).add(unit_of(name))
    owners = {symbol: unit_of(path) for path, (defined, _) in called.items() for symbol in defined}
    for path, (_, lacking) in called.items():
        calls[unit_of(path)] = {owners[symbol] for symbol in lacking if symbol in owners} - {unit_of(path)}
    for kind, arrows in (("include", includes), ("call", calls)):
        circle = find_circle(arrows)
        if circle:
            yield circle[0] + ".c", 1, f"circles: these {kind} each other: {' -> '.join(circle)}"


def check_doubles(paths):
    """Units of one name in two folders."""
    folders = {}
    for path in paths:
        folders.setdefault(os.path.basename(unit_of(path)), set()).add(os.path.dirname(path))
    for name, places in sorted(folders.items()):
        if len(places) > 1 and name not in OWN_NAMES:
            yield f"{sorted(places)[1]}/{name}.c", 1, f"doubles: {name} stands in {' and in '.join(sorted(places))}"


def check(paths, root):
    """All findings as (path, line, text)."""
    findings, called = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths:
            with open(os.path.join(root, path), encoding="utf-8") as stream:
                findings += [(path, line, text) for line, text in check_text(path, stream.read(), root)]
            if path.endswith(".c") and os.path.dirname(path) in LAYERS:
                called[path] = global_symbols(path, root, scratch)
                findings += [(path, line, text) for line, text in check_symbols(path, called[path][0], root)]
    findings += check_circles(paths, root, called)
    findings += check_doubles(paths)
    return findings


# For the self-test: files of a small tree, and the rules that each must break.
GUARD = "#ifndef {0}\n#define {0}\n{1}\n#endif\n"
CASES = [
    ("common/base/ok.h", "/* ok: fine. */\n" + GUARD.format("COMMON_BASE_OK_H", "void ok_do(void);"), []),
    ("common/base/ok.c", "/* ok: fine. */\n#include \"common/base/ok.h\"\n#include <stdio.h>\nvoid ok_do(void) {}\n", []),
    ("common/base/ok_more.c", "/* ok_more: fine too. */\nvoid ok_other(void);\nvoid ok_other(void) {}\n", []),
    ("common/network/x_template.h", "/* x_template: without a guard. */\n", []),
    ("extract/main.c", "/* main: fine. */\nconst char *argp_program_version;\nint main(void) {\n    return 0;\n}\n", []),
    ("train/main.c", "/* main: has more. */\nint more;\nint main(void) {\n    return more;\n}\n", ["prefix"]),
    ("common/base/up.c", "/* up: looks up. */\n#include \"common/cache/there.h\"\n", ["layers"]),
    ("extract/side.c", "/* side: looks aside. */\n#include \"train/there.h\"\n", ["layers"]),
    ("train/near.c", "/* near: not from the root. */\n#include \"near.h\"\n", ["layers"]),
    ("common/base/a.c", "/* b: another's name. */\n", ["name"]),
    ("common/base/c.c", "int c;\n", ["name"]),
    ("common/base/d.h", "/* d: another guard. */\n" + GUARD.format("D_H", ""), ["guard"]),
    ("common/base/e.h", "/* e: no guard. */\nint e(void);\n", ["guard"]),
    ("common/base/f.c", "/* f: a foreign prefix. */\nint g_count;\n", ["prefix"]),
    ("common/base/fine.c", "/* fine: no prefix, but a file of its own. */\nint finest;\n", ["prefix"]),
    ("common/base/g.c", "/* g: at home. */\nconst char *g_path = \"/root/x\";\n", ["paths"]),
    ("common/base/h.c", "/* h: unfinished. */\n/* TODO: all of it */\n", ["marks"]),
    ("tests/unit/test_i.c", "/* test_i: fine, with mkdtemp(\"XXXXXX\") and https://x.org/work/. */\n"
     "#include \"common/base/ok.h\"\nint any;\n", []),
]
# The same for rules that need several files: {path: text}, and the rule.
GROUPS = [
    ({"common/base/p.c": "/* p: calls q. */\nint q_do(void);\nint p_do(void);\nint p_do(void) {\n    return q_do();\n}\n",
      "common/base/q.c": "/* q: calls p. */\nint p_do(void);\nint q_do(void);\nint q_do(void) {\n    return p_do();\n}\n"},
     ["circles"]),
    ({"train/rows/r.h": "/* r: includes s. */\n" + GUARD.format("TRAIN_ROWS_R_H", '#include "train/rows/s.h"'),
      "train/rows/s.c": "/* s: includes r. */\n#include \"train/rows/r.h\"\n",
      "train/rows/s.h": "/* s: fine. */\n" + GUARD.format("TRAIN_ROWS_S_H", "")}, ["circles"]),
    ({"common/base/t.c": "/* t: here. */\n", "train/rows/t.c": "/* t: and there. */\n"}, ["doubles"]),
    ({"extract/options.c": "/* options: here. */\n", "train/options.c": "/* options: and there, as may be. */\n"}, []),
]


def plant(root, path, text):
    os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
    with open(os.path.join(root, path), "w", encoding="utf-8") as stream:
        stream.write(text)


def self_test():
    """Each case must break exactly the rules that it names. Returns the number of cases that do not."""
    bad = 0
    root = tempfile.mkdtemp()
    for name in ("common/cache/there.h", "train/there.h", "near.h"):  # so that the compiler finds them
        plant(root, name, "")
    trials = [({path: text}, rules) for path, text, rules in CASES] + GROUPS
    for files, _ in trials:
        for path, text in files.items():
            plant(root, path, text)
    for files, rules in trials:
        found = [text.split(":")[0] for _, _, text in check(list(files), root)]
        if found != rules:
            print(f"lint: self-test: {', '.join(files)}: breaks {found}, but should break {rules}")
            bad += 1
    shutil.rmtree(root)
    tried = {rule for _, rules in trials for rule in rules}
    if tried != {"layers", "name", "guard", "prefix", "paths", "marks", "circles", "doubles"}:
        print(f"lint: self-test: only {sorted(tried)} are tried")
        bad += 1
    return bad


def main():
    if sys.argv[1:] == ["--self-test"]:
        bad = self_test()
        print(f"lint: self-test: {len(CASES) + len(GROUPS)} cases, {bad} wrong")
        return 1 if bad else 0
    if not sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    if self_test():
        return 1
    findings = check([os.path.relpath(os.path.abspath(path), ROOT) for path in sys.argv[1:]], ROOT)
    for path, line, text in findings:
        print(f"{path}:{line}: {text}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
