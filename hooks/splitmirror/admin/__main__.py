"""``python -m splitmirror.admin``: the command where no script is installed."""

import sys

from splitmirror.admin import main

sys.exit(main())
