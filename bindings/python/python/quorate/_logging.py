"""The engine's log lines as records of Python's `logging`.

What must hold: a host that configured no logging hears nothing and pays nothing for lines that it
does not want: the level is looked at when a service starts.
"""

import logging
from collections.abc import Callable
from functools import partial

Lines = tuple[int, Callable[[int, str, str, int, str, int], None]]

# The engine's levels, from what matters most on.
LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG}

DEFAULT = logging.getLogger("quorate")
DEFAULT.addHandler(logging.NullHandler())  # nothing on stderr unless the host wants it


def lines_for(logger: logging.Logger | None) -> Lines | None:
    """The most talkative level that the logger wants now, and who takes the lines."""
    target = DEFAULT if logger is None else logger
    if not isinstance(target, logging.Logger):
        kind = type(target).__name__
        raise TypeError(f"logger: a logging.Logger is wanted, not a value of type {kind}")
    wanted = [number for number, level in LEVELS.items() if target.isEnabledFor(level)]
    return (max(wanted), partial(_write, target)) if wanted else None


def _write(
    logger: logging.Logger, level: int, target: str, message: str, node: int, file: str, line: int
) -> None:
    """Called by the engine's threads."""
    number = LEVELS[level]
    if logger.isEnabledFor(number):
        more = {"node_id": node, "target": target}
        logger.handle(
            logger.makeRecord(logger.name, number, file, line, message, (), None, extra=more)
        )
