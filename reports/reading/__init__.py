"""Reads a study's documents into typed values; reports what is wrong with a damaged one.

Imports ``reports.statistics`` and nothing else of the project.
"""
