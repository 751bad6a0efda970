"""Runs what README and docs show: every program in C, C++, Python and Go, and every command.

Fenced blocks marked c, cpp, python or go are compiled and run in a folder of their own; a block that is
only a part of a program (no main) is compiled with what stands in `PRELUDE`. Blocks marked sh are run line
by line from the root. `make test` is not run: it is what runs this; neither are benchmarks: they take long.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "target" / "release"
LINK = [f"-L{LIB}", f"-Wl,-rpath,{LIB}", "-lquorate", "-lpthread"]
NOT_RUN = ("make test", ".ci/run", "make bench")
BLOCK = re.compile(r"^```(c|cpp|python|go|sh)\n(.*?)^```", re.M | re.S)
PRELUDE = {
    "c": '#include "quorate.h"\n#include <stdio.h>\n#include <string.h>\n',
    "cpp": '#include "quorate.hpp"\n#include <iostream>\n',
    "python": "",
    "go": "",
}


def run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, timeout=600, env={**os.environ, "GOFLAGS": "-mod=mod"})


def run_c(code: str, folder: Path, compiler: str, standard: str, ending: str) -> None:
    whole = "main(" in code
    source = folder / f"program.{ending}"
    source.write_text(code if whole else PRELUDE[ending] + code)
    includes = [f"-I{ROOT}/include", f"-I{ROOT}/bindings/cpp/include"]
    flags = [f"-std={standard}", "-Wall", "-Wextra", "-Werror", *includes]
    if not whole:
        return run([compiler, *flags, "-Wno-unused", "-fsyntax-only", source.name], folder)
    run([compiler, *flags, "-o", "program", source.name, *LINK], folder)
    run(["./program"], folder)


def run_go(code: str, folder: Path) -> None:
    (folder / "main.go").write_text(code)
    module = f"module snippet\n\ngo 1.24\n\nrequire quorate v0.0.0\n\nreplace quorate => {ROOT}/bindings/go\n"
    (folder / "go.mod").write_text(module)
    run(["go", "run", "."], folder)


def run_python(code: str, folder: Path) -> None:
    (folder / "program.py").write_text(code)
    run([sys.executable, "program.py"], folder)


def run_sh(code: str) -> None:
    for line in code.splitlines():
        command = line.split("#")[0].strip()
        if command and not command.startswith(NOT_RUN):
            run(["bash", "-euc", command], ROOT)


def check(language: str, code: str) -> None:
    with tempfile.TemporaryDirectory(prefix="quorate-docs-") as name:
        folder = Path(name)
        if language == "c":
            run_c(code, folder, "cc", "c11", "c")
        elif language == "cpp":
            run_c(code, folder, "c++", "c++17", "cpp")
        elif language == "python":
            run_python(code, folder)
        elif language == "go":
            run_go(code, folder)
        else:
            run_sh(code)


def main() -> int:
    passed = failed = 0
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    files += sorted((ROOT / "bindings").glob("**/README.md")) + [ROOT / "tests" / "README.md"]
    for path in (p for p in files if p.exists() and ".venv" not in p.parts):
        text = path.read_text()
        for block in BLOCK.finditer(text):
            place = f"{path.relative_to(ROOT)}:{text[: block.start()].count(chr(10)) + 1}"
            print(f"-- {place} ({block[1]})", flush=True)
            try:
                check(block[1], block[2])
                passed += 1
            except (subprocess.SubprocessError, OSError) as error:
                print(f"FAILED {place}: {error}", flush=True)
                failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
