#!/usr/bin/env python3
"""lint: holds the C files to the rules of the tree that no compiler checks.

    tests/lint.py FILE...       checks these files, from the root of the tree
    tests/lint.py --self-test   shows that every rule can fire

Rules:
  layers    common/ includes neither extract/ nor train/; these two include themselves and common/ alone; what is
            included with quotes is named from the root
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
LAYERS = {"common": ("common",), "extract": ("extract", "common"), "train": ("train", "common")}
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
    layer = path.split("/")[0]
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
        if include and layer in LAYERS and include.group(1).split("/")[0] not in LAYERS[layer]:
            yield number, f"layers: {layer}/ may include {' and '.join(LAYERS[layer])} alone, not {include.group(1)}"
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
    """What nm finds in the file's object: that of the last build when it is newer than the source, or a new one."""
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
    output = subprocess.run(["nm", "--defined-only", "--extern-only", "--format=posix", built], stdout=subprocess.PIPE,
                            text=True, check=True).stdout
    names = [line.split()[0] for line in output.splitlines() if line.strip()]
    return [name for name in names if not name.startswith("__")]  # the sanitizers' and the compiler's own


def check(paths, root):
    """All findings as (path, line, text)."""
    findings = []
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths:
            with open(os.path.join(root, path), encoding="utf-8") as stream:
                findings += [(path, line, text) for line, text in check_text(path, stream.read(), root)]
            if path.endswith(".c") and path.split("/")[0] in LAYERS:
                symbols = global_symbols(path, root, scratch)
                findings += [(path, line, text) for line, text in check_symbols(path, symbols, root)]
    return findings


# For the self-test: files of a small tree, and the rules that each must break.
GUARD = "#ifndef {0}\n#define {0}\n{1}\n#endif\n"
CASES = [
    ("common/ok.h", "/* ok: fine. */\n" + GUARD.format("COMMON_OK_H", "void ok_do(void);"), []),
    ("common/ok.c", "/* ok: fine. */\n#include \"common/ok.h\"\n#include <stdio.h>\nvoid ok_do(void) {}\n", []),
    ("common/ok_more.c", "/* ok_more: fine too. */\nvoid ok_other(void);\nvoid ok_other(void) {}\n", []),
    ("extract/x_template.h", "/* x_template: without a guard. */\n", []),
    ("extract/main.c", "/* main: fine. */\nconst char *argp_program_version;\nint main(void) {\n    return 0;\n}\n", []),
    ("train/main.c", "/* main: has more. */\nint more;\nint main(void) {\n    return more;\n}\n", ["prefix"]),
    ("common/up.c", "/* up: looks up. */\n#include \"extract/ok.h\"\n", ["layers"]),
    ("extract/side.c", "/* side: looks aside. */\n#include \"train/ok.h\"\n", ["layers"]),
    ("train/near.c", "/* near: not from the root. */\n#include \"ok.h\"\n", ["layers"]),
    ("common/a.c", "/* b: another's name. */\n", ["name"]),
    ("common/c.c", "int c;\n", ["name"]),
    ("common/d.h", "/* d: another guard. */\n" + GUARD.format("D_H", ""), ["guard"]),
    ("common/e.h", "/* e: no guard. */\nint e(void);\n", ["guard"]),
    ("common/f.c", "/* f: a foreign prefix. */\nint g_count;\n", ["prefix"]),
    ("common/fine.c", "/* fine: no prefix, but a file of its own. */\nint finest;\n", ["prefix"]),
    ("common/g.c", "/* g: at home. */\nconst char *g_path = \"/root/x\";\n", ["paths"]),
    ("common/h.c", "/* h: unfinished. */\n/* TODO: all of it */\n", ["marks"]),
    ("tests/unit/test_i.c", "/* test_i: fine, with mkdtemp(\"XXXXXX\") and https://x.org/work/. */\n"
     "#include \"train/ok.h\"\nint any;\n", []),
]


def self_test():
    """Each case must break exactly the rules that it names. Returns the number of cases that do not."""
    bad = 0
    root = tempfile.mkdtemp()
    for path, text, _ in CASES:
        os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as stream:
            stream.write(text)
    for path in ("extract/ok.h", "train/ok.h", "train/ok.c"):
        shutil.copy(os.path.join(root, "common/ok.h"), os.path.join(root, path))
    shutil.copy(os.path.join(root, "common/ok.h"), os.path.join(root, "ok.h"))
    for path, text, rules in CASES:
        if path == "train/near.c":  # the compiler would look beside the file
            found = [text.split(":")[0] for _, text in check_text(path, text, root)]
        else:
            found = [text.split(":")[0] for _, _, text in check([path], root)]
        if found != rules:
            print(f"lint: self-test: {path} breaks {found}, but should break {rules}")
            bad += 1
    shutil.rmtree(root)
    rules = {rule for _, _, case in CASES for rule in case}
    if rules != {"layers", "name", "guard", "prefix", "paths", "marks"}:
        print(f"lint: self-test: only {sorted(rules)} are tried")
        bad += 1
    return bad


def main():
    if sys.argv[1:] == ["--self-test"]:
        bad = self_test()
        print(f"lint: self-test: {len(CASES)} cases, {bad} wrong")
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
