"""What the cabinet answers is counted, whatever becomes of it."""

import httpx
import pytest
from fastapi import FastAPI

from services.cabinet.counting import Counting
from streaming.telemetry import Telemetry


@pytest.mark.parametrize(
    ("path", "surface", "status"),
    [
        ("/families/guardian-1", "pages", "200"),
        ("/", "pages", "200"),
        ("/apiary", "pages", "200"),
        ("/api/v1/enrollments", "api", "200"),
        ("/static/cabinet.css", "static", "200"),
        ("/missing", "pages", "404"),
        ("/api/v1/defect", "api", "500"),
    ],
)
async def test_each_answer_is_counted_once_by_surface_and_status(
    path: str, surface: str, status: str
) -> None:
    app, telemetry = FastAPI(), Telemetry()
    app.add_middleware(Counting, telemetry=telemetry)
    if status == "200":
        app.add_api_route(path, lambda: "here")
    app.add_api_route("/api/v1/defect", _defect)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.get(path)

    counted = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for metric in telemetry.registry.collect()
        for sample in metric.samples
        if sample.name in ("pfdo_http_responses_total", "pfdo_http_seconds_count")
    }
    assert counted == {
        ("pfdo_http_responses_total", *sorted((surface, status))): 1.0,
        ("pfdo_http_seconds_count", surface): 1.0,
    }


def _defect() -> None:
    raise RuntimeError("a defect")
