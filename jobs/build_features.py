"""spark-submit jobs/build_features.py --config conf/demo.yaml --as-of YYYY-MM-DD (see --help)."""

import sys

from spark_seg.cli import main

if __name__ == "__main__":
    main(["build_features", *sys.argv[1:]])
