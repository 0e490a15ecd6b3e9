"""Measurements: `python -m benchmarks` (`make bench`) and the long demonstration, `python -m benchmarks.shown`.

Each module measures one thing on throw-away servers and returns plain figures; what can be compared is compared
within one run, as a ratio, because seconds differ from machine to machine.
"""
