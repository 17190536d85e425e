#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
"""Plants the faults of faults.txt one by one, in a copy of the tree, and says which test program catches each.

  tests/mutants/run.py                   all faults that are not known to be caught
  tests/mutants/run.py batch view/slot   rooms or names: those that begin so
  tests/mutants/run.py --new             only those that were not planted before
  tests/mutants/run.py --again           those that were caught before, too
  tests/mutants/run.py --list            the faults and what is known of them; builds nothing
  tests/mutants/run.py --check           only whether each text is in its file once, and its programs exist

A run can be stopped and goes on where it was: results are kept in WORK/results.json, until the fault's text changes.
A table by room ends it. The status is 0 when every fault that was planted is caught. A text that is not found any more is an error: write the
fault anew for the code as it is now, or take it out where its code has gone.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent


class Fault:
    def __init__(self, name, programs, line):
        self.name, self.programs, self.line = name, programs, line
        self.paths, self.old, self.new = [], [], []

    @property
    def texts(self):
        return "\n".join(self.old), "\n".join(self.new)

    @property
    def room(self):
        return self.name.split("/")[0]

    @property
    def digest(self):
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()[:16]

    def path(self):
        """The file that has the text, once, or None. Of several that are named, those that exist are looked at."""
        counts = {path: (root / path).read_text().count(self.texts[0]) for path in self.paths if (root / path).is_file()}
        return max(counts, key=counts.get) if sum(counts.values()) == 1 else None

    def problem(self, programs):
        """What is wrong with the fault as it is written, or None. `programs` are those that there are."""
        old, new = self.texts
        unknown = [name for name in self.programs if name not in programs]
        if unknown:
            return f"no test program is called {' or '.join(unknown)}"
        if not self.paths or not self.old or old == new:
            return "needs a file, a text (-) and another in its place (+)"
        if self.path() is None:
            return f"this text is not in {' or '.join(self.paths)} once: {old!r}"
        return None


def read_faults(path):
    faults = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        head = re.fullmatch(r"\[(\S+)\] (.+)", line)
        if head:
            faults.append(Fault(head[1], head[2].split(), number))
        elif not faults:
            sys.exit(f"{path}:{number}: a fault begins with [room/name] and the programs that should catch it")
        elif line[:2] in ("- ", "+ ") or line in ("-", "+"):
            (faults[-1].old if line[0] == "-" else faults[-1].new).append(line[2:])
        else:
            faults[-1].paths = line.split()
    names = [fault.name for fault in faults]
    for name in names:
        if names.count(name) > 1:
            sys.exit(f"{path}: two faults are called {name}")
    return faults


def program_names():
    """Of the test programs that CMake makes with FOLIO_TEST_PROGRAM_PER_FILE, without their _test."""
    tests = root / "tests"
    names = set()
    for path in tests.rglob("*_test.cpp"):
        parts = path.relative_to(tests).parts
        if parts[0] in ("detail", path.name):  # the root's
            parts = ("core", *parts)
        names.add("_".join(part for part in parts if part != "snippets").removesuffix("_test.cpp"))
    for path in tests.rglob("CMakeLists.txt"):
        text = path.read_text()
        names.update(re.findall(r"folio_add_(?:simt_)?test\((\w+)", text))
        for variable, values in re.findall(r"foreach\((\w+)(?: IN ITEMS)? ([^)]*)\)", text):
            for name in re.findall(r"folio_add_(?:simt_)?test\((\w+)_\$\{%s\}" % variable, text):
                names.update(f"{name}_{value}" for value in values.split())
    return names


def copy_tree(to):
    """Copies what git knows and what is new, and writes only what differs: the rest is not built again."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, check=True,
                            capture_output=True, text=True).stdout.split("\n")
    wanted = {name for name in listed if name and (root / name).is_file()}
    for name in wanted:
        source, target = root / name, to / name
        data = source.read_bytes()
        if not target.is_file() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            shutil.copymode(source, target)
    for path in [p for p in to.rglob("*") if p.is_file() and str(p.relative_to(to)) not in wanted]:
        path.unlink()


def run(command, timeout, **options):
    """Returns (status or None when it took too long, output, seconds)."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True, **options)
    try:
        output, _ = process.communicate(timeout=timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its own session, begun above
        output, status = process.communicate()[0], None
    return status, output, time.monotonic() - begin


def first_line(pattern, output):
    for line in output.splitlines():
        if re.search(pattern, line):
            return line.strip()[:160]
    return output.strip().splitlines()[-1][:160] if output.strip() else ""


class Unsound(Exception):
    """A program does not pass without a fault, and so tells nothing of one."""


class Workshop:
    """A copy of the tree with a build folder of its own."""

    def __init__(self, arguments):
        self.work, self.jobs = pathlib.Path(arguments.work).resolve(), arguments.jobs
        self.tree, self.build, self.seconds = self.work / "tree", self.work / "build", {}
        self.tree.mkdir(parents=True, exist_ok=True)
        self.build_command = ["cmake", "--build", str(self.build), "-j", str(self.jobs), "--target"]
        self.environment = dict(os.environ, CCACHE_BASEDIR=str(self.work), CCACHE_NOHASHDIR="1")
        self.configure_options = arguments.cmake.split()

    def prepare(self):
        copy_tree(self.tree)
        launcher = shutil.which("ccache")
        command = ["cmake", "-S", str(self.tree), "-B", str(self.build), "-DCMAKE_BUILD_TYPE=Debug",
                   "-DCMAKE_CXX_FLAGS_DEBUG=-O0 -D_GLIBCXX_ASSERTIONS", "-DFOLIO_BUILD_TESTS=ON",
                   "-DFOLIO_TEST_PROGRAM_PER_FILE=ON", "-DFOLIO_BUILD_EXAMPLES=ON", "-DFOLIO_BUILD_BENCH=OFF", "-DFOLIO_ENABLE_CUDA=OFF",
                   "-DFOLIO_WARNINGS_AS_ERRORS=OFF", "-DFOLIO_GET_DEPENDENCIES=ON", *self.configure_options]
        if shutil.which("ninja"):
            command.append("-GNinja")
        if shutil.which("clang++"):
            command.append("-DCMAKE_CXX_COMPILER=clang++")
        if launcher:
            command.append(f"-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}")
        status, output, _ = run(command, 600, env=self.environment)
        if status != 0:
            sys.exit(f"the copy in {self.tree} cannot be configured:\n{output}")

    def program(self, name):
        paths = [self.build / folder / f"{name}_test" for folder in ("tests", "tests/serve", "tests/docs")]
        return next(path for path in paths if path.is_file())

    def check_sound(self, name):
        """Builds a program of the tree as it is and runs it, once: it must pass. Raises Unsound."""
        if name not in self.seconds:
            status, output, _ = run([*self.build_command, f"{name}_test"], 3600, env=self.environment)
            self.seconds[name] = None
            if status != 0:
                raise Unsound(f"{name}_test cannot be built without a fault:\n{output[-2000:]}")
            status, output, seconds = run([str(self.program(name))], 1200, cwd=self.work)
            if status != 0:
                raise Unsound(f"{name}_test fails without a fault:\n{output[-2000:]}")
            self.seconds[name] = seconds
        if self.seconds[name] is None:
            raise Unsound(f"{name}_test fails without a fault")

    def plant(self, fault):
        """Returns (how it was caught or None, by which program, details). Raises Unsound."""
        path = self.tree / fault.path()
        right = path.read_text()
        try:
            for name in fault.programs:
                self.check_sound(name)
                path.write_text(right.replace(*fault.texts))
                status, output, _ = run([*self.build_command, f"{name}_test"], 3600, env=self.environment)
                if status != 0:
                    return "does not compile", name, first_line(r"error:", output)
                limit = 60 + 10 * self.seconds[name]
                status, output, _ = run([str(self.program(name)), "--abort"], limit, cwd=self.work)
                if status is None:
                    return f"runs for more than {limit:.0f} s", name, ""
                if status != 0:
                    how = f"signal {-status}" if status < 0 else "fails"
                    return how, name, first_line(r"FAILED|terminate|Assertion", output)
                path.write_text(right)
        finally:
            path.write_text(right)
        return None, "", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="rooms or names, or their beginnings; default: all")
    parser.add_argument("--work", default=str(root / "build" / "mutants"), help="folder for the copy and the results")
    parser.add_argument("--jobs", type=int, default=2, help="of the compiler at once")
    parser.add_argument("--cmake", default="", help="further options for CMake")
    parser.add_argument("--new", action="store_true", help="plant only those that were not planted before as they are")
    parser.add_argument("--again", action="store_true", help="plant those that were caught before, too")
    parser.add_argument("--list", action="store_true", help="print the faults and what is known of them")
    parser.add_argument("--check", action="store_true", help="only look whether each text is in its file once, and its programs exist")
    arguments = parser.parse_args()

    faults = read_faults(here / "faults.txt")
    chosen = list(faults)
    if arguments.names:  # in their order
        chosen = [f for name in arguments.names for f in faults if f.name.startswith(name)]
        chosen = list(dict.fromkeys(chosen))
    if not chosen:
        sys.exit("no fault is called so; --list prints them")
    programs = program_names()
    problems = [(f, f.problem(programs)) for f in chosen]
    stale = [(f, problem) for f, problem in problems if problem]
    for fault, problem in stale:
        print(f"faults.txt:{fault.line}: {fault.name}: {problem}", file=sys.stderr)
    if arguments.check or stale:
        print(f"{len(chosen) - len(stale)} of {len(chosen)} faults can be planted")
        return 1 if stale else 0

    results_path = pathlib.Path(arguments.work) / "results.json"
    results = json.loads(results_path.read_text()) if results_path.is_file() else {}
    known = {f.name: results[f.name] for f in chosen if results.get(f.name, {}).get("digest") == f.digest}
    if arguments.list:
        for fault in chosen:
            result = known.get(fault.name)
            what = "not planted yet" if result is None else result["how"] or "NOT CAUGHT"
            print(f"{fault.name:44} {' '.join(fault.programs):30} {what}")
    else:
        if arguments.new:
            todo = [f for f in chosen if f.name not in known]
        else:
            todo = [f for f in chosen if arguments.again or not known.get(f.name, {}).get("how")]
        workshop = Workshop(arguments)
        if todo:
            workshop.prepare()
        for i, fault in enumerate(todo, 1):
            begin = time.monotonic()
            try:
                how, program, details = workshop.plant(fault)
            except Unsound as problem:
                print(f"[{i}/{len(todo)}] {fault.name}: not planted: {problem}", flush=True)
                continue
            known[fault.name] = results[fault.name] = {"digest": fault.digest, "how": how, "program": program,
                                                       "details": details}
            results_path.write_text(json.dumps(results, indent=1))
            verdict = f"{program}: {how}: {details}" if how else f"NOT CAUGHT by {' '.join(fault.programs)}"
            print(f"[{i}/{len(todo)}, {time.monotonic() - begin:.0f} s] {fault.name}: {verdict}", flush=True)

    caught = [f for f in chosen if known.get(f.name, {}).get("how")]
    planted = [f for f in chosen if f.name in known]
    for fault in planted:
        if fault not in caught:
            print(f"not caught: {fault.name}")
    print(f"{'room':24} {'faults':>6} {'planted':>7} {'caught':>6}")
    for room in dict.fromkeys(f.room for f in chosen):
        print(f"{room:24} {sum(f.room == room for f in chosen):6} {sum(f.room == room for f in planted):7} "
              f"{sum(f.room == room for f in caught):6}")
    if planted:
        print(f"{len(caught)} of {len(planted)} faults are caught: {100 * len(caught) / len(planted):.1f} percent"
              + (f"; {len(chosen) - len(planted)} are not planted yet" if len(planted) < len(chosen) else ""))
    return 0 if len(caught) == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
