"""The command line, run with counted cells."""

import sys

from counted_cells import CountedBench, CountedTrial

from study import ray_executor, workbench
from study.cli import main

ray_executor.GroupTrial = CountedTrial
workbench.Workbench = CountedBench
sys.exit(main())
