"""`python -m vault` is `pdvault`."""

import sys

from vault.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
