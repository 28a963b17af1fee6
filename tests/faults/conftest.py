"""Fixtures of the tests under faults."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dropbox_api.storage.s3 import S3Config
from tests.support.server import RunningServer
from tests.support.sync_scene import SCENARIOS, Scenario, open_scene

AT_ONCE = 10


@pytest.fixture(scope="module")
async def started(
    request: pytest.FixtureRequest,
    server: RunningServer,
    postgres_url: str,
    s3_config: S3Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """Start the chosen scenarios of a file, some at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(scenario: Scenario, home: Path) -> None:
        async with gate, open_scene(server, home, postgres_url, s3_config) as scene:
            await scenario(scene)

    chosen = [item.name for item in request.session.items if item.path == request.path]
    tasks = {
        name: asyncio.create_task(run(scenario, tmp_path_factory.mktemp("scene")))
        for name, scenario in SCENARIOS.items()
        if name in chosen
    }
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
