"""How the command line ends: its exit codes."""

FAILED = 1
"""Some cells failed; they are rows with reasons."""

USAGE = 2
"""The request has errors and cannot run."""

INTERRUPTED = 130
"""Stopped by Ctrl-C or a polite kill."""
