#!/usr/bin/env python3
"""Holds data/get.sh to its word, against a web server on 127.0.0.1 that misbehaves on demand.

The server tests work on small made-up files with a table of their own. The tests of --from also check the built-in table
against the real digits, when they are at hand (VGGCACHE_ASSETS, by default ../shared/assets beside the checkout).
"""

import gzip
import hashlib
import http.server
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import machine  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
GET = ROOT / "data" / "get.sh"
ASSETS = pathlib.Path(os.environ.get("VGGCACHE_ASSETS", ROOT.parent / "shared" / "assets"))
MNIST = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
WEIGHTS = "weights.h5"
DEADLINE = machine.PATIENCE


class Server:
    """Serves FILES, each by the behaviour of its name: ok, 404, norange, altered, long, cut, nolength, stall or mute.

    `requests` has (path, Range header or None) of every request, in order.
    """

    def __init__(self, files):
        self.files = dict(files)
        self.behaviour = {}
        self.requests = []
        self.release = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.httpd.block_on_close = False
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.httpd.server_port}/"

    def close(self):
        self.release.set()
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()

    def ranges(self, name):
        return [value for path, value in self.requests if path == "/" + name]

    def answer(self, request):
        name = request.path.lstrip("/")
        asked = request.headers.get("Range")
        self.requests.append((request.path, asked))
        how = self.behaviour.get(name, "ok")
        if how == "404" or name not in self.files:
            request.send_error(404)
            return
        if how == "mute":
            self.release.wait(DEADLINE)
            return
        body = self.files[name]
        if how == "altered":
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1:]
        if how == "long":
            body += b"more"
        start = 0
        if asked and how != "norange":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(body)}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if how != "nolength":
            request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        rest = body[start:]
        if how in ("cut", "nolength", "stall"):
            rest = rest[: len(rest) // 2]
        try:
            request.wfile.write(rest)
            request.wfile.flush()
        except ConnectionError:
            return
        if how == "stall":
            self.release.wait(DEADLINE)
        request.close_connection = True


def made_up_files():
    rng = random.Random(1)
    files = {}
    for name in MNIST:
        count = 300 if "images" in name else 20000
        payload = bytes(rng.randrange(256) for _ in range(count * (49 if "images" in name else 1)))
        header = struct.pack(">IIII", 2051, count, 7, 7) if "images" in name else struct.pack(">II", 2049, count)
        files[name] = gzip.compress(header + payload, 6, mtime=0)
    files[WEIGHTS] = bytes(rng.randrange(256) for _ in range(200000))
    return files


FILES = made_up_files()


def write_table(folder):
    """Writes a table of the made-up files and its SHA256SUMS, as data/ has them."""
    table, sums = ["# made up for the tests"], []
    for name, body in FILES.items():
        compressed = name.endswith(".gz")
        raw = hashlib.sha256(gzip.decompress(body)).hexdigest() if compressed else "-"
        table.append(f"{'mnist' if compressed else 'weights'} {name} {len(body)} {hashlib.md5(body).hexdigest()} {raw}")
        if compressed:
            sums.append(f"{hashlib.sha256(body).hexdigest()}  {name}")
    (folder / "files.txt").write_text("\n".join(table) + "\n")
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    return folder / "files.txt"


class Case(unittest.TestCase):
    """A temporary folder with an output folder and a table of the made-up files."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vggcache-get-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.out = self.folder / "out"
        self.out.mkdir()
        self.environment = {
            name: value for name, value in os.environ.items()
            if not name.lower().endswith("_proxy") and not name.startswith("VGGCACHE_")
        }
        self.environment.update(
            NO_PROXY="127.0.0.1",
            HOME=str(self.folder),  # no ~/.curlrc
            VGGCACHE_FILES=str(write_table(self.folder)),
            VGGCACHE_CONNECT_SECONDS="600",  # a slow machine is no stall; the tests of those have their own
            VGGCACHE_STALL_SECONDS="600",
            VGGCACHE_MNIST_MIRRORS="http://127.0.0.1:1/",
            VGGCACHE_WEIGHTS_MIRRORS="http://127.0.0.1:1/",
        )

    def server(self, **behaviour):
        server = Server(FILES)
        server.behaviour = {name.replace("__", "."): how for name, how in behaviour.items()}
        self.addCleanup(server.close)
        return server

    def stall_soon(self):
        """Where a server does not answer. The one that does must do so within this time too."""
        self.environment["VGGCACHE_STALL_SECONDS"] = "3"

    def count_curl(self):
        """Puts a curl in the place of curl that makes a line for each call; returns what counts them."""
        tools, calls = self.folder / "counted", self.folder / "calls"
        tools.mkdir(exist_ok=True)
        calls.write_text("")
        (tools / "curl").write_text(f'#!/bin/sh\necho >>"{calls}"\nexec "{shutil.which("curl")}" "$@"\n')
        (tools / "curl").chmod(0o755)
        self.environment["PATH"] = f"{tools}:{os.environ['PATH']}"
        return lambda: len(calls.read_text())

    def use(self, *servers):
        for name in ("VGGCACHE_MNIST_MIRRORS", "VGGCACHE_WEIGHTS_MIRRORS"):
            self.environment[name] = " ".join(server.url for server in servers)

    def command(self, *arguments):
        return [str(GET), f"--output={self.out}", *map(str, arguments)]

    def get(self, *arguments):
        return subprocess.run(self.command(*arguments), env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=DEADLINE)

    def assert_succeeds(self, run):
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)

    def assert_fails(self, run, *texts, status=1):
        """One line on standard error, with all of TEXTS in it."""
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        self.assertTrue(run.stderr.startswith("get.sh: "), run.stderr)
        for text in texts:
            self.assertIn(text, run.stderr)

    def assert_right(self, *names):
        for name in names:
            self.assertEqual((self.out / name).read_bytes(), FILES[name], name)

    def assert_holds(self, *names):
        self.assertEqual(sorted(os.listdir(self.out)), sorted(names))

    def part(self):
        return self.out / (WEIGHTS + ".part")


class Complete(Case):
    def test_all(self):
        server = self.server()
        self.use(server)
        run = self.get()
        self.assert_succeeds(run)
        self.assert_right(*FILES)
        self.assert_holds(*FILES)
        self.assertEqual([path for path, _ in server.requests], ["/" + name for name in FILES])
        self.assertEqual({asked for _, asked in server.requests}, {None})
        self.assertEqual(len(run.stdout.splitlines()), len(FILES), run.stdout)
        for name, line in zip(FILES, run.stdout.splitlines()):
            self.assertRegex(line, rf"^{name} +fetched from 127\.0\.0\.1:\d+, {len(FILES[name])} bytes$")

    def test_one_set(self):
        self.use(self.server())
        self.assert_succeeds(self.get("weights"))
        self.assert_holds(WEIGHTS)
        self.assert_succeeds(self.get("mnist"))
        self.assert_holds(*FILES)

    def test_already_there(self):
        server = self.server()
        self.use(server)
        self.assert_succeeds(self.get())
        server.requests.clear()
        inodes = {name: os.stat(self.out / name).st_ino for name in FILES}
        run = self.get()
        self.assert_succeeds(run)
        self.assertEqual(server.requests, [])
        self.assertEqual(run.stdout.count("already there"), len(FILES))
        self.assertEqual({name: os.stat(self.out / name).st_ino for name in FILES}, inodes)

    def test_another_compression_is_already_there(self):
        server = self.server()
        self.use(server)
        raw = gzip.decompress(FILES[MNIST[0]])
        (self.out / MNIST[0]).write_bytes(gzip.compress(raw, 1))
        (self.out / MNIST[1].removesuffix(".gz")).write_bytes(gzip.decompress(FILES[MNIST[1]]))
        self.assertNotEqual((self.out / MNIST[0]).read_bytes(), FILES[MNIST[0]])
        self.assert_succeeds(self.get("mnist"))
        self.assertEqual([path for path, _ in server.requests], ["/" + MNIST[2], "/" + MNIST[3]])

    def test_without_curl_only_downloads_fail(self):
        tools = self.folder / "tools"
        tools.mkdir()
        for name in "bash basename cat dirname env flock gzip md5sum mv rm sha256sum stat sync".split():
            (tools / name).symlink_to(shutil.which(name))
        self.environment["PATH"] = str(tools)
        self.assert_fails(self.get("weights"), "curl is missing", "ca-certificates")
        (self.out / WEIGHTS).write_bytes(FILES[WEIGHTS])
        self.assert_succeeds(self.get("weights"))


class CutShort(Case):
    def test_resumed_on_the_second_mirror(self):
        first, second = self.server(weights__h5="cut"), self.server()
        self.use(first, second)
        run = self.get("weights")
        self.assert_succeeds(run)
        self.assert_right(WEIGHTS)
        self.assert_holds(WEIGHTS)
        half = len(FILES[WEIGHTS]) // 2
        self.assertEqual(second.ranges(WEIGHTS), [f"bytes={half}-"])
        self.assertIn(f"resumed at {half}", run.stdout)

    def test_resumed_by_the_second_run(self):
        server = self.server(weights__h5="cut")
        self.use(server)
        self.assert_fails(self.get("weights"), WEIGHTS, "connection lost", "run it again")
        self.assert_holds(WEIGHTS + ".part")
        half = len(FILES[WEIGHTS]) // 2
        self.assertEqual(self.part().read_bytes(), FILES[WEIGHTS][:half])
        server.behaviour.clear()
        self.assert_succeeds(self.get("weights"))
        self.assertEqual(server.ranges(WEIGHTS), [None, f"bytes={half}-"])
        self.assert_right(WEIGHTS)
        self.assert_holds(WEIGHTS)

    def test_cut_without_a_length(self):
        self.use(self.server(weights__h5="nolength"))
        self.assert_fails(self.get("weights"), f"expected {len(FILES[WEIGHTS])}, found {len(FILES[WEIGHTS]) // 2}")
        self.assertFalse((self.out / WEIGHTS).exists())

    def test_whole_part_needs_no_server(self):
        self.part().write_bytes(FILES[WEIGHTS])
        self.assert_succeeds(self.get("weights"))
        self.assert_right(WEIGHTS)
        self.assert_holds(WEIGHTS)

    def test_part_that_is_of_no_use_starts_afresh(self):
        size = len(FILES[WEIGHTS])
        for what, part, ranges in (("too long", bytes(size + 1), [None]), ("as long", bytes(size), [None]),
                                   ("wrong", bytes(1000), ["bytes=1000-", None]), ("empty", b"", [None])):
            with self.subTest(what):
                server = self.server()
                self.use(server)
                self.part().write_bytes(part)
                self.assert_succeeds(self.get("weights"))
                self.assertEqual(server.ranges(WEIGHTS), ranges)
                self.assert_right(WEIGHTS)
                self.assert_holds(WEIGHTS)
                (self.out / WEIGHTS).unlink()

    def test_no_ranges_starts_afresh(self):
        server = self.server(weights__h5="norange")
        self.use(server)
        self.part().write_bytes(FILES[WEIGHTS][:5000])
        self.assert_succeeds(self.get("weights"))
        self.assertEqual(server.ranges(WEIGHTS), ["bytes=5000-", None])
        self.assert_right(WEIGHTS)

    def test_killed_run_is_resumed(self):
        server = self.server(weights__h5="stall")
        self.use(server)
        process = subprocess.Popen(self.command("weights"), env=self.environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        machine.wait_for(lambda: self.part().exists() and self.part().stat().st_size > 50000)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.assert_holds(WEIGHTS + ".part")
        server.behaviour.clear()
        self.assert_succeeds(self.get("weights"))
        self.assertRegex(server.ranges(WEIGHTS)[1], r"^bytes=[1-9]\d+-$")
        self.assert_right(WEIGHTS)


class Wrong(Case):
    def test_altered(self):
        for name in (MNIST[0], WEIGHTS):
            with self.subTest(name):
                first, second = self.server(), self.server()
                first.behaviour = second.behaviour = {name: "altered"}
                self.use(first, second)
                run = self.get("mnist" if name in MNIST else "weights")
                self.assert_fails(run, name, "MD5: expected " + hashlib.md5(FILES[name]).hexdigest() + ", found ")
                self.assertEqual((first.ranges(name), second.ranges(name)), ([None], [None]))
                self.assertFalse((self.out / name).exists())
                self.assertFalse((self.out / (name + ".part")).exists())

    def test_altered_with_the_same_md5(self):
        """The SHA-256 counts too: the table's MD5 is made to fit the altered file."""
        name = MNIST[3]
        server = self.server()
        server.files[name] = FILES[name][:-1] + bytes([FILES[name][-1] ^ 1])
        table = pathlib.Path(self.environment["VGGCACHE_FILES"])
        table.write_text(table.read_text().replace(hashlib.md5(FILES[name]).hexdigest(),
                                                   hashlib.md5(server.files[name]).hexdigest()))
        self.use(server)
        self.assert_fails(self.get("mnist"), name, "SHA-256: expected " + hashlib.sha256(FILES[name]).hexdigest())
        self.assertFalse((self.out / name).exists())

    def test_the_next_mirror_is_right(self):
        for how in ("altered", "long", "404", "mute", "nolength"):
            with self.subTest(how):
                first, second = self.server(weights__h5=how), self.server()
                self.use(first, second)
                if how == "mute":
                    self.stall_soon()
                self.assert_succeeds(self.get("weights"))
                self.assert_right(WEIGHTS)
                self.assertEqual((len(first.ranges(WEIGHTS)), second.ranges(WEIGHTS)), (1, [None]))
                (self.out / WEIGHTS).unlink()

    def test_resumed_on_an_altered_file(self):
        server = self.server(weights__h5="altered")
        self.use(server)
        self.part().write_bytes(FILES[WEIGHTS][:5000])
        self.assert_fails(self.get("weights"), "MD5: expected ")
        self.assertEqual(server.ranges(WEIGHTS), ["bytes=5000-", None])
        self.assert_holds()

    def test_wrong_size(self):
        server = self.server()
        server.files[WEIGHTS] = FILES[WEIGHTS][:-1]
        self.use(server)
        self.assert_fails(self.get("weights"), f"bytes: expected {len(FILES[WEIGHTS])}, found {len(FILES[WEIGHTS]) - 1}")
        self.assert_holds()
        server.behaviour[WEIGHTS] = "long"
        server.files[WEIGHTS] = FILES[WEIGHTS]
        self.assert_fails(self.get("weights"), "too long")
        self.assert_holds()

    def test_missing(self):
        first, second = self.server(), self.server()
        first.behaviour = second.behaviour = {MNIST[1]: "404"}
        self.use(first, second)
        run = self.get("mnist")
        self.assert_fails(run, str(self.out / MNIST[1]), first.url[7:-1], second.url[7:-1], "HTTP status 404", "--from=DIR")
        self.assert_holds(MNIST[0], MNIST[2], MNIST[3])
        self.assertRegex(run.stdout, rf"(?m)^{MNIST[1]} +missing$")

    def test_disk_full(self):
        if not os.access("/dev/full", os.W_OK):
            self.skipTest("no /dev/full")
        first, second = self.server(), self.server()
        self.use(first, second)
        self.part().symlink_to("/dev/full")
        self.assert_fails(self.get("weights"), "cannot write", str(self.out), "space")
        self.assertEqual((len(first.requests), len(second.requests)), (1, 0))
        self.assertFalse((self.out / WEIGHTS).exists())

    def test_missing_keeps_the_part(self):
        self.use(self.server(weights__h5="404"))
        self.part().write_bytes(FILES[WEIGHTS][:5000])
        self.assert_fails(self.get("weights"), "HTTP status 404")
        self.assertEqual(self.part().read_bytes(), FILES[WEIGHTS][:5000])


class Slow(Case):
    def test_stalled(self):
        for how in ("stall", "mute"):
            with self.subTest(how):
                server = self.server(weights__h5=how)
                self.use(server)
                self.stall_soon()
                self.assert_fails(self.get("weights"), WEIGHTS, "stalled for 3 s")
                self.assertEqual(len(server.requests), 1)
                self.assertFalse((self.out / WEIGHTS).exists())

    def test_stalled_and_resumed_on_the_next_mirror(self):
        first, second = self.server(weights__h5="stall"), self.server()
        self.use(first, second)
        self.stall_soon()
        self.assert_succeeds(self.get("weights"))
        self.assertRegex(second.ranges(WEIGHTS)[0], r"^bytes=[1-9]\d+-$")
        self.assert_right(WEIGHTS)

    def test_no_network(self):
        for mirrors in ("http://127.0.0.1:1/ http://127.0.0.1:2/ http://127.0.0.1:3/ http://127.0.0.1:4/",
                        "http://a.invalid/ http://b.invalid/ http://c.invalid/ http://d.invalid/"):
            with self.subTest(mirrors):
                for name in ("VGGCACHE_MNIST_MIRRORS", "VGGCACHE_WEIGHTS_MIRRORS"):
                    self.environment[name] = mirrors
                self.environment["VGGCACHE_CONNECT_SECONDS"] = "1"
                calls = self.count_curl()
                self.assert_fails(self.get(), MNIST[0], "and 4 more", "--from=DIR", "seems to be offline")
                self.assertEqual(calls(), 3)  # then it asks no more, for this file and the four others
                self.assert_holds()

    def test_connection_that_never_comes(self):
        """A listener whose queue is full: the next connection hangs, as behind a firewall that drops packets."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            queue = []
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
                queue.append(filler)
                self.addCleanup(filler.close)
            for name in ("VGGCACHE_MNIST_MIRRORS", "VGGCACHE_WEIGHTS_MIRRORS"):
                self.environment[name] = "http://127.0.0.1:%d/" % listener.getsockname()[1]
            self.environment["VGGCACHE_CONNECT_SECONDS"] = "2"
            calls = self.count_curl()
            self.assert_fails(self.get(), "no connection within 2 s", "and 4 more")
            self.assertEqual(calls(), 1)  # the host is asked once, not for each of the five files


class Interrupted(Case):
    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number.name):
                server = self.server(weights__h5="stall")
                self.use(server)
                process = subprocess.Popen(self.command("weights"), env=self.environment, text=True,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                           preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
                machine.wait_for(lambda: self.part().exists() and self.part().stat().st_size > 50000)
                process.send_signal(number)
                out, err = process.communicate(timeout=DEADLINE)
                self.assertEqual(process.returncode, 128 + number, out + err)
                self.assertEqual(err, "get.sh: interrupted; the same command goes on where it stopped\n")
                self.assert_holds(WEIGHTS + ".part")
                size = self.part().stat().st_size
                self.assertEqual(self.part().read_bytes(), FILES[WEIGHTS][:size])
                server.behaviour.clear()
                self.assert_succeeds(self.get("weights"))
                self.assertEqual(server.ranges(WEIGHTS), [None, f"bytes={size}-"])
                self.assert_right(WEIGHTS)
                (self.out / WEIGHTS).unlink()

    def test_two_runs_at_once(self):
        self.use(self.server(weights__h5="stall"))
        process = subprocess.Popen(self.command("weights"), env=self.environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            machine.wait_for(self.part().exists)
            self.assert_fails(self.get("mnist"), "another run", str(self.out))
        finally:
            process.terminate()
            process.wait(DEADLINE)


class InTheWay(Case):
    """A wrong file under a final name is somebody's own: it stays until the right one comes, and is kept."""

    def test_replaced_and_kept(self):
        self.use(self.server())
        (self.out / WEIGHTS).write_bytes(b"mine")
        (self.out / (WEIGHTS + ".old")).write_bytes(b"older")
        run = self.get("weights")
        self.assert_succeeds(run)
        self.assert_right(WEIGHTS)
        self.assertEqual((self.out / (WEIGHTS + ".old")).read_bytes(), b"older")
        self.assertEqual((self.out / (WEIGHTS + ".old2")).read_bytes(), b"mine")
        self.assertIn("was not the expected file, kept as", run.stdout)

    def test_stays_when_nothing_comes(self):
        (self.out / WEIGHTS).write_bytes(b"mine")
        self.assert_fails(self.get("weights"), WEIGHTS, "no connection")
        self.assertEqual((self.out / WEIGHTS).read_bytes(), b"mine")
        self.assert_holds(WEIGHTS)

    def test_wrong_twin(self):
        plain = MNIST[0].removesuffix(".gz")
        self.use(self.server())
        (self.out / plain).write_bytes(b"mine")
        self.assert_succeeds(self.get("mnist"))
        self.assert_right(*MNIST)
        self.assert_holds(*MNIST, plain + ".old")

    def test_wrong_twin_of_a_file_that_is_there(self):
        plain = MNIST[0].removesuffix(".gz")
        self.use(self.server())
        self.assert_succeeds(self.get("mnist"))
        (self.out / plain).write_bytes(b"mine")
        self.assert_succeeds(self.get("mnist"))
        self.assert_right(*MNIST)
        self.assert_holds(*MNIST, plain + ".old")
        self.assertEqual((self.out / (plain + ".old")).read_bytes(), b"mine")


class From(Case):
    def setUp(self):
        super().setUp()
        self.source = self.folder / "source"
        self.source.mkdir()
        for name, body in FILES.items():
            (self.source / name).write_bytes(body)

    def copy(self, *arguments):
        return self.get(f"--from={self.source}", *arguments)

    def plain(self, name):
        (self.source / name).unlink()
        path = self.source / name.removesuffix(".gz")
        path.write_bytes(gzip.decompress(FILES[name]))
        return path

    def test_gz(self):
        run = self.copy()
        self.assert_succeeds(run)
        self.assert_right(*FILES)
        self.assert_holds(*FILES)
        self.assertEqual(run.stdout.count("copied from " + str(self.source)), len(FILES))

    def test_plain(self):
        for name in MNIST:
            self.plain(name)
        self.assert_succeeds(self.copy("mnist"))
        self.assert_holds(*[name.removesuffix(".gz") for name in MNIST])
        for name in MNIST:
            self.assertEqual((self.out / name.removesuffix(".gz")).read_bytes(), gzip.decompress(FILES[name]))

    def test_compressed_again(self):
        again = gzip.compress(gzip.decompress(FILES[MNIST[0]]), 1)
        self.assertNotEqual(again, FILES[MNIST[0]])
        (self.source / MNIST[0]).write_bytes(again)
        self.assert_succeeds(self.copy("mnist"))
        self.assertEqual((self.out / MNIST[0]).read_bytes(), again)

    def test_altered(self):
        raw = bytearray(gzip.decompress(FILES[MNIST[2]]))
        raw[100] ^= 1
        (self.source / MNIST[2]).write_bytes(gzip.compress(bytes(raw)))
        run = self.copy("mnist")
        self.assert_fails(run, str(self.source / MNIST[2]), hashlib.sha256(gzip.decompress(FILES[MNIST[2]])).hexdigest(),
                          hashlib.sha256(raw).hexdigest(), "expected", "found")
        self.assert_holds(MNIST[0], MNIST[1], MNIST[3])

    def test_altered_plain(self):
        path = self.plain(MNIST[1])
        path.write_bytes(path.read_bytes()[:-1])
        self.assert_fails(self.copy("mnist"), str(path), "expected", "found")
        self.assert_holds(MNIST[0], MNIST[2], MNIST[3])

    def test_altered_weights(self):
        (self.source / WEIGHTS).write_bytes(FILES[WEIGHTS][:-1] + b"x")
        self.assert_fails(self.copy("weights"), str(self.source / WEIGHTS), "MD5", hashlib.md5(FILES[WEIGHTS]).hexdigest())
        self.assert_holds()

    def test_altered_gz_beside_a_right_plain_file(self):
        self.plain(MNIST[0])
        (self.source / MNIST[0]).write_bytes(b"not gzip")
        self.assert_succeeds(self.copy("mnist"))
        self.assert_holds(MNIST[0].removesuffix(".gz"), *MNIST[1:])

    def test_cut_short(self):
        (self.source / MNIST[0]).write_bytes(FILES[MNIST[0]][:-5])
        self.assert_fails(self.copy("mnist"), str(self.source / MNIST[0]), "cut short")
        self.assert_holds(*MNIST[1:])

    def test_missing(self):
        (self.source / MNIST[3]).unlink()
        (self.source / WEIGHTS).unlink()
        self.assert_fails(self.copy(), str(self.source / MNIST[3]), "no such file", "and 1 more")
        self.assert_holds(*MNIST[:3])

    def test_not_a_file(self):
        (self.source / WEIGHTS).unlink()
        (self.source / WEIGHTS).mkdir()
        self.assert_fails(self.copy("weights"), "not a readable file")

    def test_no_such_folder(self):
        self.assert_fails(self.get("--from=" + str(self.folder / "nowhere")), "nowhere", "not a folder")

    def test_leaves_no_part_of_an_earlier_download(self):
        self.part().write_bytes(FILES[WEIGHTS][:5000])
        self.assert_succeeds(self.copy("weights"))
        self.assert_holds(WEIGHTS)

    def test_asks_no_server(self):
        server = self.server()
        self.use(server)
        (self.source / WEIGHTS).unlink()
        self.assert_fails(self.copy("weights"), "no such file")
        self.assertEqual(server.requests, [])

    def test_from_the_output_folder_itself(self):
        self.assert_succeeds(self.copy())
        self.source = self.out
        run = self.copy()
        self.assert_succeeds(run)
        self.assertEqual(run.stdout.count("already there"), len(FILES))

    def test_disk_full(self):
        if not os.access("/dev/full", os.W_OK):
            self.skipTest("no /dev/full")
        (self.out / (".copy." + WEIGHTS)).symlink_to("/dev/full")
        self.assert_fails(self.copy("weights"), str(self.source / WEIGHTS), str(self.out), "space")
        self.assert_holds()


class BuiltInTable(Case):
    """The table in data/, held against the real digits and against itself."""

    def setUp(self):
        super().setUp()
        del self.environment["VGGCACHE_FILES"]

    def test_real_digits(self):
        source = ASSETS / "mnist"
        if not source.is_dir():
            self.skipTest(f"no real digits in {source}; set VGGCACHE_ASSETS")
        run = self.get(f"--from={source}", "mnist")
        self.assert_succeeds(run)
        self.assert_holds(*MNIST)
        for name in MNIST:
            self.assertEqual((self.out / name).read_bytes(), (source / name).read_bytes(), name)

    def test_real_digits_altered(self):
        source = ASSETS / "mnist"
        if not source.is_dir():
            self.skipTest(f"no real digits in {source}; set VGGCACHE_ASSETS")
        copies = self.folder / "copies"
        copies.mkdir()
        for name in MNIST:
            raw = bytearray(gzip.decompress((source / name).read_bytes()))
            raw[-1] ^= 1
            (copies / name.removesuffix(".gz")).write_bytes(raw)
        self.assert_fails(self.get(f"--from={copies}", "mnist"), "and 3 more")
        self.assert_holds()

    def test_tables_agree(self):
        rows = [line.split() for line in (ROOT / "data/files.txt").read_text().splitlines() if not line.startswith("#")]
        self.assertEqual([row[1] for row in rows if row[0] == "mnist"], MNIST)
        self.assertEqual([row[0] for row in rows if row[0] != "mnist"], ["weights"])
        sums = dict(reversed(line.split("  ")) for line in (ROOT / "data/SHA256SUMS").read_text().splitlines())
        self.assertEqual(list(sums), MNIST)
        for _, _, size, md5, raw in rows:
            self.assertRegex(size, r"^[1-9]\d*$")
            self.assertRegex(md5, r"^[0-9a-f]{32}$")
            self.assertRegex(raw, r"^([0-9a-f]{64}|-)$")
        for digest in sums.values():
            self.assertRegex(digest, r"^[0-9a-f]{64}$")


class CommandLine(Case):
    def test_help(self):
        for option in ("--help", "-h"):
            run = self.get(option)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            for text in ("Usage:", "--from=DIR", "--output=DIR", "mnist", "weights", "VGGCACHE_MNIST_MIRRORS",
                         "VGGCACHE_WEIGHTS_MIRRORS", "VGGCACHE_STALL_SECONDS", "Exit status"):
                self.assertIn(text, run.stdout)

    def test_wrong(self):
        for arguments in (["--form=x"], ["cifar"], ["--from="], ["--from", "x"], ["--output="], ["-x"], [""]):
            with self.subTest(arguments):
                self.assert_fails(self.get(*arguments), "--help", status=2)
        for value in ("0", "-1", "x", "1.5", "9999999"):
            with self.subTest(value):
                self.environment["VGGCACHE_STALL_SECONDS"] = value
                self.assert_fails(self.get(), "VGGCACHE_STALL_SECONDS", status=2)

    def test_no_output_folder(self):
        self.out = self.folder / "nowhere"
        self.assert_fails(self.get(), str(self.out), "mkdir")
        self.assertFalse(self.out.exists())

    def test_no_permission(self):
        """As nobody, because root may write anywhere."""
        self.use(self.server())
        self.folder.chmod(0o755)
        script = shutil.copy(GET, self.folder)  # where nobody can reach it
        self.out.chmod(0o555)
        self.addCleanup(self.out.chmod, 0o755)
        run = machine.run([script, f"--output={self.out}"], env=self.environment, stdin=subprocess.DEVNULL, **machine.NOBODY)
        self.assert_fails(run, "no permission", str(self.out), "--output=DIR")
        self.assert_holds()

    def test_folder_names_with_spaces(self):
        self.use(self.server())
        self.out = self.folder / "my out"
        self.out.mkdir()
        self.assert_succeeds(self.get())
        self.assert_right(*FILES)

    def test_no_table(self):
        self.environment["VGGCACHE_FILES"] = str(self.folder / "none.txt")
        self.assert_fails(self.get(), "none.txt")


if __name__ == "__main__":
    program = unittest.main(exit=False)
    skipped = len(program.result.skipped)
    if skipped:
        print(f"SKIPPED {skipped} of {program.result.testsRun}:", file=sys.stderr)
        for test, reason in program.result.skipped:
            print(f"  {test.id()}: {reason}", file=sys.stderr)
    if program.result.testsRun == 0:
        print("no test ran", file=sys.stderr)
        sys.exit(1)
    sys.exit(not program.result.wasSuccessful())
