"""AffectGPT, stage 1 and 2: reads a snapshot folder, writes a run folder. See ``python -m training --help``.

Never imports Django. Importing this package imports nothing heavy: torch and transformers are
loaded by the command that needs them.
"""
