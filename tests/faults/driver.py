"""The command line, run with counted cells."""

import sys

from counted_cells import CountedBench, CountedSearchTrial, CountedTrial, CountedTrialBench

from study.bench import workbench
from study.cluster import executor
from study.command.cli import main
from study.search import ray_search, trial_bench

executor.GroupTrial = CountedTrial
workbench.Workbench = CountedBench
ray_search.SearchTrial = CountedSearchTrial
trial_bench.TrialBench = CountedTrialBench
sys.exit(main())
