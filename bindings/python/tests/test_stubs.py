"""The stubs say what the package is, and all typed code agrees with them."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent
EXAMPLES = PACKAGE.parents[1] / "examples" / "python"


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=PACKAGE, capture_output=True, text=True
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_stubs_match_the_package() -> None:
    assert run("mypy.stubtest", "quorate") == ""


@pytest.mark.parametrize("what", [PACKAGE / "python", HERE, EXAMPLES], ids=lambda p: p.name)
def test_types_agree(what: Path) -> None:
    assert run("mypy", "--strict", str(what)) == ""


def test_style_agrees() -> None:
    paths = [str(PACKAGE / "python"), str(HERE), str(EXAMPLES)]
    settings = ["--config", str(PACKAGE / "pyproject.toml")]
    assert run("ruff", "check", *settings, *paths) == ""
    assert run("ruff", "format", "--check", *settings, *paths) == ""
