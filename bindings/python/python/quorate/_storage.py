"""The conformance kit, as a call."""

from collections.abc import Callable

from ._errors import StorageRuleBroken
from ._protocols import Storage
from ._quorate import check_storage
from ._types import Make, Report


def storage_check(make: Callable[[Make], Storage]) -> Report:
    """Tries all rules on the stores that `make` gives."""
    passed, skipped, broken, text, raised = check_storage(make)
    report = Report(passed, tuple(skipped), tuple(broken), text)
    if broken:
        raise StorageRuleBroken(report) from raised
    return report
