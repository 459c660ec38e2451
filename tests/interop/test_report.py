#!/usr/bin/python3
"""The page of bin/train --report in a headless Chromium: it says nothing on the console, asks for nothing, shows the history's
points, the test rows and the data set's pixels, and fits a phone; no name breaks out of its place. Also the command line."""

import base64
import csv
import hashlib
import html
import json
import os
import re
import shlex
import shutil
import struct
import sys
import tempfile
import unittest
import zlib

import h5py
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import browser  # noqa: E402
import keras_reference as keras  # noqa: E402
import machine  # noqa: E402

TRAIN = os.path.abspath(os.environ.get("TRAIN", "bin/train"))
ROWS, TEST_ROWS, DIM = 300, 200, 20
IMAGES = "t10k-images-idx3-ubyte"


def idx_bytes(images):
    return struct.pack(">4I", 2051, *images.shape) + images.tobytes()


def png_pixels(data):
    """An 8-bit gray PNG without filters, every chunk's checksum looked at: u8[height][width]."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, []
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8:at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
        chunks.append((kind, body))
        at += 12 + length
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">2I5B", chunks[0][1])
    assert rest == [8, 0, 0, 0, 0]
    lines = np.frombuffer(zlib.decompress(chunks[1][1]), np.uint8).reshape(height, width + 1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:]


class Folder(unittest.TestCase):
    """A folder with a cache, features.h5, and the images it is said to be made from, data/."""

    @classmethod
    def setUpClass(cls):
        cls.master = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.master)
        cls.data = [keras.make_rows(rows, DIM, 10, seed, 2.0) for rows, seed in ((ROWS, 1), (TEST_ROWS, 2))]
        cls.images = np.random.default_rng(3).integers(0, 256, (TEST_ROWS + 5, 28, 28)).astype(np.uint8)
        path = os.path.join(cls.master, "features.h5")
        keras.write_cache(path, *cls.data)
        cls.set_images(path)
        os.mkdir(os.path.join(cls.master, "data"))
        with open(os.path.join(cls.master, "data", IMAGES), "wb") as file:
            file.write(idx_bytes(cls.images))

    @classmethod
    def set_images(cls, path):
        with h5py.File(path, "r+") as file:
            file["test"].attrs["images_sha256"] = hashlib.sha256(cls.images[:TEST_ROWS].tobytes()).hexdigest()

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copytree(self.master, self.folder, dirs_exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def train(self, *options, **more):
        return machine.run([TRAIN, *options], cwd=self.folder, **more)

    def fitted(self, *options):
        done = self.train(*options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def read(self, name="page.html"):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def command(self, page):
        """The command of a page, as somebody would copy it."""
        text = re.search(r"<pre[^>]*>(.*?)</pre>", page, re.S).group(1)
        return html.unescape(re.sub(r"</?span>", "", text))


class CommandLine(Folder):
    def refused(self, status, words, *options):
        before = sorted(os.listdir(self.folder))
        done = self.train(*options)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertRegex(done.stderr, r"\Atrain: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_wrong_command_lines(self):
        self.fitted("--epochs=1", "features.h5")
        for words, *options in ((["--images needs --report"], "--images=data"),
                                (["one file"], "--report=x", "--json=x"),
                                (["one file"], "--report=head.h5"),
                                (["--report does not go with --predict"], "--predict=head.h5", "--report=x"),
                                (["--report does not go with --export"], "--export=npy", "-ox", "--report=x")):
            with self.subTest(options=options):
                self.refused(2, words, *options, "features.h5")

    def test_wrong_images(self):
        """Found before the fit: nothing is written, no work is lost."""
        changed = self.images.copy()
        changed[TEST_ROWS - 1, 27, 27] ^= 1
        for name, images, words in (("changed", changed, ["changed/" + IMAGES, "features.h5", "images_sha256"]),
                                    ("short", self.images[:TEST_ROWS - 1], ["short/" + IMAGES, "features.h5", "199"]),
                                    ("small", self.images[:, :27], ["small/" + IMAGES, "features.h5", "27 x 28"])):
            os.mkdir(self.path(name))
            with open(self.path(os.path.join(name, IMAGES)), "wb") as file:
                file.write(idx_bytes(images))
            with self.subTest(images=name):
                self.refused(1, words, "--report=page.html", "--images=" + name, "features.h5")
        os.mkdir(self.path("cut"))
        with open(self.path(os.path.join("cut", IMAGES)), "wb") as file:
            file.write(idx_bytes(self.images)[:5000])
        self.refused(1, ["cut/" + IMAGES, "5000 bytes"], "--report=page.html", "--images=cut", "features.h5")
        self.refused(1, ["nowhere/" + IMAGES, "no such file"], "--report=page.html", "--images=nowhere", "features.h5")
        changed[TEST_ROWS:] ^= 255  # beyond the cache's rows, as behind extract --limit
        changed[TEST_ROWS - 1, 27, 27] ^= 1
        with open(self.path(os.path.join("changed", IMAGES)), "wb") as file:
            file.write(idx_bytes(changed))
        self.fitted("--epochs=1", "--report=page.html", "--images=changed", "features.h5")

    def test_unwritable(self):
        self.refused(1, ["nowhere/page.html"], "--report=nowhere/page.html", "features.h5")

    def test_standard_output(self):
        done = self.fitted("--epochs=2", "--report=-", "features.h5")
        self.assertTrue(done.stdout.startswith("<!DOCTYPE html>\n"))
        self.assertTrue(done.stdout.endswith("</html>\n"))
        self.assertIn("confusion on the test rows", done.stderr)

    def test_same_results_as_json(self):
        self.fitted("--epochs=3", "--report=page.html", "--json=run.json", "features.h5")
        with open(self.path("run.json")) as file:
            run = json.load(file)
        page = self.read()
        for name, word in (("train", "training"), ("validation", "validation"), ("test", "test")):
            cells = re.search(rf'<th scope="row">{word}</th>(.*?)</tr>', page).group(1)
            self.assertIn(f"<td>{run[name]['loss']:.4f}</td>", cells)
            self.assertIn(f"<td>{100 * run[name]['accuracy']:.2f}\u00a0%</td>", cells)

    def test_command_is_pasted(self):
        """Spaces, quotes and control characters in names: the command of the page, run by a shell, is that command."""
        names = ["my head.h5", "it's a \"page\".html", "tab\there.csv"]
        self.fitted("features.h5", "--epochs=1", "-o", names[0], "--report=" + names[1], "--history", names[2])
        command = self.command(self.read(names[1]))
        self.assertEqual(shlex.split(command.split(" -o")[0]), [TRAIN, "features.h5", "--epochs=1"])
        for name in names:
            os.unlink(self.path(name))
        machine.run(["bash", "-c", command], cwd=self.folder, check=True)
        for name in names:
            self.assertTrue(os.path.exists(self.path(name)), name)

    def test_provenance(self):
        self.fitted("--epochs=1", "--report=page.html", self.path("features.h5"))
        page = self.read()
        for name, value in keras.PROVENANCE.items():
            self.assertIn(f'<th scope="row">{name}</th><td>{value}</td>', page)
        self.assertIn('<th scope="row">cache</th><td>features.h5</td>', page)


@unittest.skipUnless(browser.is_there(), "chromium and chromedriver are not installed")
class Page(Folder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    def open(self, name="page.html", **options):
        """Opens a page, which must be silent, self-contained, and no wider than its window."""
        self.browser.log()
        self.browser.open(self.path(name), **options)
        self.assertEqual(self.browser.run("return document.readyState"), "complete")
        wide, window = self.browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        self.assertLessEqual(wide, window)
        self.assertEqual(window, options.get("width", 1280))
        self.assertEqual(self.browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)"), [])
        self.assertEqual(self.browser.log(), [])

    def history(self, name="history.csv"):
        with open(self.path(name)) as file:
            return list(csv.DictReader(file))

    def points(self, line):
        """Points of each curve of a kind that is drawn."""
        return self.browser.run("""return [...document.querySelectorAll("svg ." + arguments[0])].map(
            (path) => path.getAttribute("d").split(/[ML]/).length - 1)""", line)

    def check_history(self):
        """The page's data are the CSV's numbers, all of them, and their curves are where they should be."""
        data = self.browser.run("return JSON.parse(document.getElementById('data').textContent)")
        rows = self.history()
        self.assertEqual(data["epoch"], [int(row["epoch"]) for row in rows])
        for column in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            self.assertEqual(data[column], [float(row[column]) if row[column] else None for row in rows], column)
        plots = self.browser.run("""return [...document.querySelectorAll(".plot")].map((plot) => [plot.dataset,
            [...plot.querySelectorAll("svg .training, svg .validation")].map((path) => path.getAttribute("d"))])""")
        self.assertIn(len(plots), (2, 3))
        for dataset, paths in plots:
            low, high = float(dataset["low"]), float(dataset["high"])
            for path, column in zip(paths, (dataset["quantity"], "val_" + dataset["quantity"])):
                drawn = np.array([point.split() for point in re.split("[ML]", path.replace("h0", ""))[1:]], float)
                if len(rows) > 1500:
                    self.assertLess(len(drawn), 1501)
                    self.assertAlmostEqual(drawn[-1][0], 1000, delta=2)
                    continue
                self.assertEqual(len(drawn), len(rows))
                values = np.array([float(row[column]) for row in rows])
                linear = 1000 * (1 - (values - low) / (high - low))
                if not np.allclose(drawn[:, 1], linear, atol=0.2):
                    logarithmic = 1000 * (1 - np.log(values / low) / np.log(high / low))
                    np.testing.assert_allclose(drawn[:, 1], logarithmic, atol=0.2)
                wanted = np.linspace(0, 1000, len(rows)) if len(rows) > 1 else [500]
                np.testing.assert_allclose(drawn[:, 0], wanted, atol=0.2)

    def test_fit(self):
        self.fitted("--epochs=30", "--report=page.html", "--images=data", "--history=history.csv", "features.h5")
        self.open()
        self.check_history()
        counts = self.browser.run("""return [...document.querySelectorAll(".matrix tbody td")].map(
            (cell) => Number(cell.textContent))""")
        self.assertEqual(len(counts), 100)
        self.assertEqual(sum(counts), TEST_ROWS)
        support = np.array(counts).reshape(10, 10).sum(1)
        np.testing.assert_array_equal(support, np.bincount(self.data[1][1], minlength=10))
        self.assertEqual(self.browser.run("return document.querySelectorAll('.classes tbody tr').length"), 10)
        self.assertEqual(self.browser.run("return getComputedStyle(document.querySelector('.mistakes img')).imageRendering"),
                         "pixelated")

    def test_mistakes(self):
        """The listed rows are the most confident mistakes of --predict, and their pictures the data set's, to the pixel."""
        self.fitted("--epochs=30", "--report=page.html", "--images=data", "features.h5")
        lines = csv.DictReader(self.fitted("--predict=head.h5", "features.h5").stdout.splitlines())
        wrong = [line for line in lines if line["split"] == "test" and line["label"] != line["predicted"]]
        wrong.sort(key=lambda line: (-float(line["p" + line["predicted"]]), int(line["row"])))
        self.assertGreater(len(wrong), 30)
        self.open()
        shown = self.browser.run("""return [...document.querySelectorAll(".mistakes li")].map((item) => {
            const image = item.querySelector("img"), canvas = document.createElement("canvas");
            canvas.width = image.naturalWidth;
            canvas.height = image.naturalHeight;
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            const pixels = [...context.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, i) => i % 4 === 0);
            return [item.dataset, image.src, pixels, item.textContent];
        })""")
        self.assertEqual(len(shown), 30)
        for (dataset, uri, pixels, text), line in zip(shown, wrong):
            self.assertEqual(dict(dataset), {name: line[name] for name in ("row", "label", "predicted")})
            image = self.images[int(line["row"])]
            np.testing.assert_array_equal(png_pixels(base64.b64decode(uri.split(",")[1])), image)
            np.testing.assert_array_equal(np.reshape(pixels, image.shape), image)
            self.assertIn(f"{100 * float(line['p' + line['predicted']]):.1f}\u00a0%", text)
        self.fitted("--evaluate=head.h5", "--report=bare.html", "features.h5")
        self.open("bare.html")
        rows = self.browser.run("return [...document.querySelectorAll('.mistakes li')].map((item) => Number(item.dataset.row))")
        self.assertEqual(rows, [int(line["row"]) for line in wrong[:30]])
        self.assertEqual(self.browser.run("return document.querySelectorAll('img, figure').length"), 0)
        self.assertEqual(self.browser.run("return document.getElementById('data').textContent"), "null")

    def test_sizes_of_history(self):
        for epochs in (1, 2, 1000, 10000):
            with self.subTest(epochs=epochs):
                self.fitted(f"--epochs={epochs}", "-q", "--report=page.html", "--history=history.csv", "features.h5")
                self.open()
                self.check_history()
                self.open(width=360, height=740)

    def test_no_validation(self):
        for options in (["--validation-split=0"], ["--optimizer=lbfgs", "--l2=0.01", "--validation-split=0"],
                        ["--optimizer=lbfgs", "--l2=0.01"]):
            with self.subTest(options=options):
                self.fitted("--epochs=20", *options, "--report=page.html", "--history=history.csv", "features.h5")
                self.open()
                self.check_history()
                self.assertEqual(len(self.points("validation")) > 0, len(options) == 2 and "lbfgs" in options[0])

    def test_early_stopping(self):
        """The dotted line stands at the epoch whose weights were kept."""
        self.fitted("--epochs=500", "--learning-rate=0.01", "--early-stopping=5", "--report=page.html",
                    "--history=history.csv", "features.h5")
        rows = self.history()
        best = min(range(len(rows)), key=lambda i: float(rows[i]["val_loss"]))
        self.assertEqual(len(rows), best + 6)
        self.open()
        self.check_history()
        lines = self.browser.run("return [...document.querySelectorAll('svg .kept')].map((line) => line.getAttribute('d'))")
        self.assertGreaterEqual(len(lines), 2)
        for line in lines:
            self.assertAlmostEqual(float(line[1:].split()[0]), 1000 * best / (len(rows) - 1), delta=0.1)
        self.assertEqual(self.browser.run("return document.querySelector('.epoch b').textContent"), str(best + 1))

    def test_read_out(self):
        """Pointer and keys choose an epoch, in both figures; its values are shown to eyes and to screen readers."""
        self.fitted("--epochs=11", "--report=page.html", "--history=history.csv", "features.h5")
        rows = self.history()
        self.open()
        read = """const figure = document.querySelectorAll("figure")[arguments[0]];
            return figure.querySelector(".read").innerText.replace(/\\s+/g, " ");"""
        self.browser.run("""const plot = document.querySelector(".plot"), box = plot.getBoundingClientRect();
            plot.dispatchEvent(new PointerEvent("pointermove",
                {clientX: box.left + 0.32 * box.width, clientY: box.top + 5, bubbles: true}));""")
        self.assertEqual(self.browser.run(read, 0), f"training {float(rows[3]['loss']):.4f} "
                         f"validation {float(rows[3]['val_loss']):.4f} epoch 4")
        self.assertEqual(self.browser.run(read, 1), f"training {100 * float(rows[3]['accuracy']):.2f} % "
                         f"validation {100 * float(rows[3]['val_accuracy']):.2f} % epoch 4")
        places = self.browser.run("""return [...document.querySelectorAll(".plot")].map((plot) => {
            const box = plot.getBoundingClientRect(), dot = plot.querySelector(".dot.training").getBoundingClientRect();
            return [(dot.left + dot.right) / 2 - box.left, (dot.top + dot.bottom) / 2 - box.top, box.width, box.height,
                    plot.querySelector("svg .training").getAttribute("d").split(/[ML]/)[4], box.width > 0];
        }).filter((place) => place[5])""")
        self.assertEqual(len(places), 2)
        for x, y, width, height, point, _ in places:
            wanted = [float(number) / 1000 for number in point.split()]
            self.assertAlmostEqual(x, wanted[0] * width, delta=0.6)
            self.assertAlmostEqual(y, wanted[1] * height, delta=0.6)
        press = """const plot = document.querySelector(".plot");
            plot.dispatchEvent(new KeyboardEvent("keydown", {key: arguments[0], bubbles: true, cancelable: true}));
            return [plot.getAttribute("role"), plot.getAttribute("aria-valuenow"), plot.getAttribute("aria-valuetext")];"""
        self.assertEqual(self.browser.run(press, "ArrowRight"), ["slider", "5", f"epoch 5: training "
                         f"{float(rows[4]['loss']):.4f}, validation {float(rows[4]['val_loss']):.4f}"])
        self.assertEqual(self.browser.run(press, "Home")[1], "1")
        self.assertEqual(self.browser.run(press, "ArrowLeft")[1], "1")
        self.assertEqual(self.browser.run(press, "End")[1], "11")
        self.assertEqual(self.browser.log(), [])

    def test_scale(self):
        """One scale of the loss is shown at a time, also without JavaScript."""
        self.fitted("--epochs=50", "--learning-rate=0.03", "--report=page.html", "features.h5")
        shown = "return [...document.querySelectorAll('.plot')].map((plot) => plot.offsetHeight > 0)"
        self.open()
        choice = self.browser.run("return document.querySelector('[name=scale]:checked').value")
        self.assertEqual(self.browser.run(shown), [choice == "lin", choice == "log", True])
        for value in ("log", "lin"):
            self.browser.run("document.querySelector(`[value=${arguments[0]}]`).click()", value)
            self.assertEqual(self.browser.run(shown), [value == "lin", value == "log", True])

    def test_without_javascript(self):
        self.fitted("--epochs=10", "--report=page.html", "--images=data", "features.h5")
        self.open(script=False)
        try:
            self.assertEqual(self.browser.run("return document.querySelector('.plot').getAttribute('role')"), "img")
            self.assertEqual(self.points("training")[0], 10)
            self.assertRegex(self.browser.run("return document.querySelector('.plot').getAttribute('aria-label')"),
                             r"^Loss by epoch, 10 epochs: training from [\d.]+ to [\d.]+, validation from [\d.]+ to [\d.]+$")
            self.assertEqual(self.browser.run("return document.querySelectorAll('.mistakes img').length"), 30)
        finally:
            self.browser.open(self.path("page.html"))

    def test_phone_and_dark(self):
        self.fitted("--epochs=10", "--report=page.html", "--images=data", "features.h5")
        seen = []
        for dark in (False, True):
            for width in (360, 1280):
                self.open(width=width, height=740, dark=dark)
            seen.append(self.browser.run("""return [getComputedStyle(document.body).backgroundColor,
                getComputedStyle(document.body).color, getComputedStyle(document.querySelector("svg .training")).stroke,
                getComputedStyle(document.querySelector(".matrix .right")).backgroundColor]"""))
        for light, dark in zip(*seen):
            self.assertNotEqual(light, dark)
        for page, ink, line, _ in seen:
            self.assertGreater(contrast(ink, page), 10)
            self.assertGreater(contrast(line, page), 3)

    def test_structure(self):
        """Headings in order, every table with headers that have a scope, every picture and chart with a text."""
        self.fitted("--epochs=10", "--report=page.html", "--images=data", "features.h5")
        self.open()
        levels = self.browser.run("return [...document.querySelectorAll('h1,h2,h3')].map((heading) => Number(heading.tagName[1]))")
        self.assertEqual(levels[0], 1)
        self.assertEqual(levels.count(1), 1)
        self.assertTrue(all(after <= before + 1 for before, after in zip(levels, levels[1:])))
        for wrong in ("th:not([scope])", "img:not([alt])", ".plot:not([aria-label])", "section:not([aria-labelledby])",
                      "[href]:not([href^='data:'])", "[src]:not([src^='data:'])"):
            self.assertEqual(self.browser.run("return document.querySelectorAll(arguments[0]).length", wrong), 0, wrong)
        self.assertTrue(self.browser.run("""return [...document.querySelectorAll("[aria-labelledby]")].every(
            (part) => document.getElementById(part.getAttribute("aria-labelledby")) !== null)"""))
        self.assertEqual(self.browser.run("return document.documentElement.lang"), "en")

    def test_hostile_names(self):
        """Markup in names, of the cache and in it, is text."""
        name = "x</script><b>bold</b><img src=x onerror='document.title=1'>&amp;.h5"
        path = self.path(name.replace("/", "\u2215"))
        keras.write_cache(path, *self.data, preprocess="</td><b>bold</b>")
        self.fitted("--epochs=2", "--report=page.html", path)
        self.open()
        self.assertEqual(self.browser.run("return document.querySelectorAll('b:not(.read b):not(.mistakes b), img').length"), 0)
        for where in ("h1 .name:last-child", ".facts td"):
            self.assertIn(os.path.basename(path), self.browser.run(
                "return [...document.querySelectorAll(arguments[0])].map((part) => part.textContent)", where))
        self.assertIn(os.path.basename(path), self.browser.run("return document.title"))
        self.assertIn("</td><b>bold</b>", self.browser.run(
            "return [...document.querySelectorAll('.facts td')].map((part) => part.textContent)"))

    def test_script_end_in_the_path(self):
        """Folders give the real "</script>", a slash being what a file's name cannot have."""
        folder = self.path("a<")
        os.makedirs(os.path.join(folder, "script><b>"))
        path = os.path.join(folder, "script><b>", "cache.h5")
        shutil.copy(self.path("features.h5"), path)
        self.fitted("--epochs=2", "--report=page.html", path)
        self.assertEqual(len(re.findall("</script>", self.read())), 2)
        self.open()
        self.assertIn("</script><b>", self.browser.run("return document.querySelector('pre').textContent"))

    def test_classes(self):
        for classes in (2, 1000):
            rows = [keras.make_rows(count, DIM, classes, seed) for count, seed in ((2000, 1), (1000, 2))]
            keras.write_cache(self.path("many.h5"), *rows, classes=classes)
            self.fitted("--epochs=2", "--report=page.html", "many.h5")
            for width in (360, 1280):
                self.open(width=width)
            self.assertEqual(self.browser.run("return document.querySelectorAll('.matrix tbody td').length"),
                             4 if classes == 2 else 0)
            self.assertEqual(self.browser.run("return document.querySelectorAll('.classes tbody tr').length"),
                             2 if classes == 2 else 20)

    def test_sweep(self):
        self.fitted("--epochs=5", "--sweep=lr=1e-3,1e-2,0.1", "--report=page.html", "--history=history.csv", "features.h5")
        self.open()
        self.check_history()
        self.assertEqual(self.browser.run("return document.querySelectorAll('section[aria-labelledby=sweep] tbody tr').length"), 3)

    def test_print(self):
        self.fitted("--epochs=10", "--report=page.html", "--images=data", "features.h5")
        self.open(dark=True)
        paper = base64.b64decode(self.browser.devtools("Page.printToPDF", printBackground=True)["data"])
        self.assertTrue(paper.startswith(b"%PDF-"))
        self.assertLessEqual(len(re.findall(rb"/Type\s*/Page\b", paper)), 8)
        self.browser.devtools("Emulation.setEmulatedMedia", media="print",
                              features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.assertEqual(self.browser.run("return getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")
        self.browser.devtools("Emulation.setEmulatedMedia", media="")


def contrast(one, other):
    """Of two colours "rgb(r, g, b)", by WCAG's formula."""
    lights = []
    for colour in (one, other):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


if __name__ == "__main__":
    unittest.main()
