"""spark-submit jobs/monitor_segments.py --config conf/demo.yaml --as-of YYYY-MM-DD (see --help)."""

import sys

from spark_seg.cli import main

if __name__ == "__main__":
    main(["monitor_segments", *sys.argv[1:]])
