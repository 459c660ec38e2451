#!/usr/bin/env python3
"""The manuals against the programs: every option of --help has its row in its program's manual, with the same default, and the
manual names none that the program lacks; the make targets that README names exist; the model tables have the totals that are given;
all links lead somewhere, all paths that are named exist, and README stays short."""
import os
import pathlib
import re
import subprocess
import unittest

PROGRAMS = {"extract": os.environ.get("EXTRACT", "bin/extract"), "train": os.environ.get("TRAIN", "bin/train")}
ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if not {"build", "node_modules"} & set(path.relative_to(ROOT).parts))


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def options_of_help(program):
    return set(re.findall(r"(--[a-z][a-z0-9-]*)", run(PROGRAMS[program], "--help").split("Exit status")[0]))


def section(program):
    """The section of its manual about the command line."""
    text = (ROOT / program / "README.md").read_text("utf-8")
    return re.search(r"^## Command line\n(.*?)^## ", text, re.M | re.S).group(1)


def anchors(path):
    """The anchors that GitHub makes of a document's headings, and those that it has of its own."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.M | re.S)
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(name if name not in found else name + "-1")
    return found


def options_of_readme(program):
    rows = [line for line in section(program).splitlines() if line.startswith("| `-")]
    return {option for row in rows for option in re.findall(r"`(--[a-z][a-z0-9-]*)", row.split("|")[1])}


class Readme(unittest.TestCase):
    def test_options(self):
        for program in PROGRAMS:
            with self.subTest(program=program):
                modes = set(re.findall(rf"^    {program} (--[a-z]+)", section(program), re.M))
                told = options_of_help(program)
                self.assertGreater(len(told), 10)
                self.assertEqual(told - options_of_readme(program) - modes, set(), "in --help, not in README")
                self.assertEqual(options_of_readme(program) - told, set(), "in README, not in --help")

    def test_defaults(self):
        for program in PROGRAMS:
            text = run(PROGRAMS[program], "--help")
            for row in section(program).splitlines():
                cells = [cell.strip() for cell in row.strip("|").split("|")]
                if not row.startswith("| `-") or not re.fullmatch(r"`?[\w./]+`?", cells[1]) or cells[1] == "all":
                    continue
                option = re.search(r"--[a-z0-9-]+", cells[0]).group(0)
                entry = re.search(rf"^  (?:-., |    ){option}[ =](.*?)(?=^  (?:-.,|    --)|^ ?\S)", text, re.M | re.S).group(1)
                with self.subTest(program=program, option=option):
                    self.assertIn(cells[1].strip("`"), entry)

    def test_targets(self):
        told = set(re.findall(r"^    make ([a-z]+)", README, re.M))
        known = set(re.findall(r"^  ([a-z-]+)", run("make", "-s", "help"), re.M))
        self.assertGreater(len(told), 3)
        self.assertEqual(told - known, set())

    def test_links(self):
        for document in DOCUMENTS:
            text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.M | re.S)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"https?:", target):
                    continue
                with self.subTest(document=str(document.relative_to(ROOT)), target=target):
                    path, _, anchor = target.partition("#")
                    file = (document.parent / path).resolve() if path else document
                    self.assertTrue(file.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(file))

    def test_paths(self):
        """Source files that a document names are there."""
        for document in DOCUMENTS:
            for name in set(re.findall(r"`((?:common|extract|train|tests|data)/[\w/.-]+\.(?:c|h|py|sh|md|proto))`", document.read_text("utf-8"))):
                if "NAME" in name:
                    continue
                with self.subTest(document=str(document.relative_to(ROOT)), name=name):
                    self.assertTrue((ROOT / name).exists())

    def test_ten_minutes(self):
        self.assertLessEqual(len(README.splitlines()), 200)
        self.assertLessEqual(len(README.encode()), 12000)

    def test_summaries(self):
        found = re.findall(r"^    extract (--summary.*?) +# (\S+)(?: parameters)?, (?:all trainable|of which (\S+) trainable)$", section("extract"), re.M)
        self.assertEqual(len(found), 3)
        for options, total, trainable in found:
            with self.subTest(options=options):
                text = run(PROGRAMS["extract"], *options.split())
                self.assertIn(f"Total params: {total}\n", text)
                self.assertIn(f"\nTrainable params: {trainable or total}\n", text)


if __name__ == "__main__":
    unittest.main()
