"""Starts an embedded instance, prints the pids of its servers as JSON, and waits to be killed."""

import json
import sys
import time
from pathlib import Path

from vault.embedded import EmbeddedInstance

if __name__ == "__main__":
    holder = EmbeddedInstance(Path(sys.argv[1]))
    holder.start()
    print(json.dumps([holder.postgres.pid, holder.openbao.pid]), flush=True)
    time.sleep(120)
