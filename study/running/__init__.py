"""Runs cells on any executor: the dispatcher, its rounds, a worker's loop, and the serial executor.

Imports ``records`` and ``bench``; the specification that the room ``cluster`` fulfils.
"""
