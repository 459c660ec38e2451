#!/usr/bin/env python3
"""README against the programs: every option of --help has its row in README's table, with the same default, and README names none
that a program lacks; the make targets it names exist; the model tables have the totals it gives."""
import os
import pathlib
import re
import subprocess
import unittest

PROGRAMS = {"extract": os.environ.get("EXTRACT", "bin/extract"), "train": os.environ.get("TRAIN", "bin/train")}
README = pathlib.Path("README.md").read_text("utf-8")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def options_of_help(program):
    return set(re.findall(r"(--[a-z][a-z0-9-]*)", run(PROGRAMS[program], "--help").split("Exit status")[0]))


def section(name):
    return re.search(rf"^## {name}\n(.*?)^## ", README, re.M | re.S).group(1)


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

    def test_summaries(self):
        found = re.findall(r"^    extract (--summary.*?) +# (\S+)(?: parameters)?, (?:all trainable|of which (\S+) trainable)$", README, re.M)
        self.assertEqual(len(found), 3)
        for options, total, trainable in found:
            with self.subTest(options=options):
                text = run(PROGRAMS["extract"], *options.split())
                self.assertIn(f"Total params: {total}\n", text)
                self.assertIn(f"\nTrainable params: {trainable or total}\n", text)


if __name__ == "__main__":
    unittest.main()
