"""The command line, run with counted cells."""

import sys

from counted_cells import CountedBench, CountedSearchTrial, CountedTrial, CountedTrialBench

from study import ray_executor, ray_search, trial_bench, workbench
from study.cli import main

ray_executor.GroupTrial = CountedTrial
workbench.Workbench = CountedBench
ray_search.SearchTrial = CountedSearchTrial
trial_bench.TrialBench = CountedTrialBench
sys.exit(main())
