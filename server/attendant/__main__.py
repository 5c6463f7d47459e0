"""``python -m attendant``."""

import sys

from attendant.cli import main

sys.exit(main())
