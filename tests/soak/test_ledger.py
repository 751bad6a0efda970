"""What the ledger adds up."""

import ledger

TEXT = """# Ledger

| date | commit | core | stage | seeds | steps | virtual hours | faults | kills | failures |
|---|---|---|---|---|--:|--:|--:|--:|--:|
| d | c | one | simulator | 1..2 | 1,500 | 3 | 9 | - | 0 |
| d | c | two | simulator | 3..4 | 70 | 1 | 9 | - | 0 |
| d | c | one | simulator | 5..6 | 500 | 3 | 9 | - | 1 |
| d | c | one | processes | 7 | - | - | 9 | 230 | 0 |
"""


def test_the_rows_of_one_core_are_added_up_by_stage() -> None:
    sums = ledger.total(TEXT, "one")
    assert sums == {
        "simulator": {"runs": 2, "steps": 2000, "failures": 1},
        "processes": {"runs": 1, "kills": 230, "failures": 0},
    }
    assert ledger.total(TEXT, "three") == {}


def test_the_ledger_itself_can_be_read() -> None:
    assert all(row["stage"] in ledger.STAGES for row in ledger.rows(ledger.LEDGER.read_text()))
