"""After the night: the run's files and tickets, brought home, and counted once more."""

import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from local.running import RunningCloud, plain
from local.wire import Json

PARTS = ("output", "failed", "rejects")


@dataclass(frozen=True, slots=True)
class Harvest:
    """What lies in the OUT folder."""

    folder: Path
    lines: Counter[str]
    """Lines by file: output, failed, rejects, tickets."""
    repeated: int
    """Rows that are in more than one line: none, or something is wrong."""
    billed: int
    """Requests that were billed: those whose line has a usage, here or among the rows that were asked once more."""
    report: Json

    @property
    def page(self) -> Path | None:
        """The report for people, where there is one."""
        return self.folder / "report.html" if self.report else None

    @property
    def complete(self) -> bool:
        """True when every row is in exactly one file, once."""
        rows = sum(self.lines[part] for part in PARTS)
        return bool(self.report) and self.report["accounted"] and rows == self.report["rows"] and not self.repeated


def harvest(cloud: RunningCloud, run_id: str, folder: Path) -> Harvest:
    """Bring home a run's files: those of `PARTS`, tickets.jsonl, output.csv where the job has it, and the reports."""
    folder.mkdir(parents=True, exist_ok=True)
    s3, bucket = cloud.client("s3"), cloud.outputs["OutputBucketName"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"runs/{run_id}/")
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    lines: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    billed = 0
    plan = int(cloud.ledger(run_id)[0]["plan"])
    for part in PARTS:
        folder_of = f"rejects-{plan}" if part == "rejects" and plan > 1 else part  # of a run that was planned anew
        parts = [key for key in keys if key.startswith(f"runs/{run_id}/{folder_of}/")]
        with (folder / f"{part}.jsonl").open("wb") as file:
            for key in parts:
                for line in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_lines(chunk_size=1 << 20):
                    file.write(line + b"\n")
                    lines[part] += 1
                    row = json.loads(line)
                    seen[_row_of(row)] += 1
                    billed += "usage" in row
    for key in keys:
        if key.startswith(f"runs/{run_id}/retry/"):
            billed += sum("usage" in json.loads(line) for line in _read(s3, bucket, key).splitlines())
    for name in ("output.csv", "report.json", "report.html"):
        key = f"runs/{run_id}/{name}"
        (folder / name).unlink(missing_ok=True)  # that of an earlier night
        if key in keys:
            (folder / name).write_bytes(_read(s3, bucket, key))
    report = json.loads((folder / "report.json").read_bytes()) if (folder / "report.json").exists() else {}
    lines["tickets"] = _write_tickets(cloud, folder / "tickets.jsonl")
    return Harvest(folder, lines, sum(n > 1 for n in seen.values()), billed, report)


def _row_of(line: Json) -> str:
    """Name the row of a line: by its request without the generation, or by its place in its file."""
    if "custom_id" in line:
        return f"id {line['id']}"
    return f"record {line['file']} {line['version_id']} {line['record']}"


def _read(s3: Any, bucket: str, key: str) -> bytes:
    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def _write_tickets(cloud: RunningCloud, path: Path) -> int:
    pages = cloud.client("dynamodb").get_paginator("scan").paginate(TableName=cloud.outputs["TicketTableName"])
    count = 0
    with path.open("w") as file:
        for page in pages:
            for item in page["Items"]:
                file.write(json.dumps(plain(item), default=_number, ensure_ascii=False, sort_keys=True) + "\n")
                count += 1
    return count


def _number(value: object) -> int | float | str:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)
