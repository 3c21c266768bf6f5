"""spark-submit jobs/run_all.py --config conf/demo.yaml --as-of YYYY-MM-DD (see --help)."""

import sys

from spark_seg.cli import main

if __name__ == "__main__":
    main(["run_all", *sys.argv[1:]])
