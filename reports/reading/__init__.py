"""Documents of a study read into typed values, or named with what is wrong.

Imports ``reports.statistics`` and nothing else of the project.
"""
