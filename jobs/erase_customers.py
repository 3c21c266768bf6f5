"""spark-submit jobs/erase_customers.py --config conf/demo.yaml --ids FILE (see --help)."""

import sys

from spark_seg.cli import main

if __name__ == "__main__":
    main(["erase", *sys.argv[1:]])
