"""Hyperparameter search: trials between records, rows and Optuna. The only room that uses Optuna.

Imports ``cluster`` and below; ``ray_search`` and ``ray_trial`` are its part of Ray.
"""
