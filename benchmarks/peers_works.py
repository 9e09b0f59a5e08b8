"""What others offer, on the same work. Runs in the peers' environment: it has neither the product nor moto.

Works for benchmarks/measure.py: each function sets up, and returns what is measured.
"""

# ruff: noqa: PLC0415 - a work imports what its function does
# mypy: disable-error-code="import-not-found"

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

KEY = "sk-ant-not-a-key"


def batchwizard(url: str) -> Any:
    """Return BatchWizard's provider, with its own client at the sink."""
    from anthropic import AsyncAnthropic, DefaultAioHttpClient
    from batchwizard.providers.anthropic import AnthropicBatchProvider

    return AnthropicBatchProvider(
        AsyncAnthropic(api_key=KEY, base_url=url, http_client=DefaultAioHttpClient(), max_retries=0)
    )


def batchwizard_send(url: str, plan: str) -> Any:
    """Send a file of requests."""

    async def send() -> dict[str, int]:
        provider = batchwizard(url)
        await provider.submit(Path(plan))
        await provider.close()
        return {"sent": 1}

    return lambda: asyncio.run(send())


def batchwizard_results(url: str, batch: str) -> Any:
    """Store a batch's results in files."""

    async def fetch() -> dict[str, int]:
        provider = batchwizard(url)
        with tempfile.TemporaryDirectory() as folder:
            found = await provider.fetch_results(batch, Path(folder))
            rows = sum(1 for path in (found.output_path, found.error_path) for _ in path.open("rb"))
        await provider.close()
        return {"rows": rows}

    return lambda: asyncio.run(fetch())


def batchlane(url: str) -> Any:
    """Return batchlane's adapter, pointed at the sink."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network for prices, and waits
    from batchlane.adapters import anthropic

    anthropic.BASE_URL = f"{url}/v1/messages/batches"
    return anthropic.AnthropicAdapter()


def batchlane_send(url: str, plan: str) -> Any:
    """Send requests that are there already, as chats in OpenAI's form."""
    adapter, lines = batchlane(url), []
    from batchlane.handle import BatchLine

    with Path(plan).open("rb") as file:
        for line in file:
            request = json.loads(line)
            params = request["params"]
            system = [{"role": "system", "content": block["text"]} for block in params["system"]]
            lines.append(
                BatchLine(
                    custom_id=request["custom_id"],
                    model=params["model"],
                    messages=[*system, *params["messages"]],
                    params={"max_tokens": params["max_tokens"]},
                )
            )

    def work() -> dict[str, int]:
        adapter.submit(lines, endpoint="chat.completions", window=None, api_key=KEY)
        return {"sent": 1}

    return work


def batchlane_results(url: str, batch: str) -> Any:
    """Read a batch's results."""
    adapter = batchlane(url)
    from batchlane.handle import BatchHandle, utcnow

    handle = BatchHandle(
        provider="anthropic", job_id=batch, endpoint="chat.completions", lane="batch_inline", created_at=utcnow()
    )
    return lambda: {"rows": sum(1 for _ in adapter.results(handle, api_key=KEY))}
