"""The sync engine as a process: `python -m tests.support.sync_daemon CONFIG`.

CONFIG is a JSON file, written by `sync_daemons.Daemon`. Each line of stdin is a command, and each is answered by a line
on stdout: the snapshot after it. The last line tells how the engine ended. The log goes to stderr.
"""

import json
import logging
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any


def main() -> None:
    options = json.loads(Path(sys.argv[1]).read_text())
    if ahead_s := options["ahead_s"]:
        read_clock = time.time
        time.time = lambda: read_clock() + ahead_s
    # Modules bind the clock when they are imported.
    from dropbox_client import Client  # noqa: PLC0415
    from dropbox_client.errors import ClientError  # noqa: PLC0415
    from dropbox_client.sync.config import RootConfig  # noqa: PLC0415
    from dropbox_client.sync.engine import Engine  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    members: dict[str, Any] = options["config"]
    config = RootConfig(**members | {"path": Path(members["path"])})
    with Client(config.server, token=options["token"], retry_for_s=2) as client:
        engine = Engine(config, Path(options["state"]), client)
        threading.Thread(target=_obey, args=(engine,), daemon=True).start()
        end: dict[str, Any] = {"ended": None}
        try:
            if options["is_once"]:
                engine.run_once()
            else:
                engine.run()
        except ClientError as error:
            end = {"ended": type(error).__name__, "reason": str(error)}
        end["snapshot"] = asdict(engine.snapshot)
    print(json.dumps(end), flush=True)


def _obey(engine: Any) -> None:
    for line in sys.stdin:
        match line.strip():
            case "confirmed" | "rejected" as answer:
                engine.answer(answer)
            case "look" | "stop" | "pause" | "resume" as method:
                getattr(engine, method)()
        print(json.dumps({"snapshot": asdict(engine.snapshot)}), flush=True)


if __name__ == "__main__":
    main()
