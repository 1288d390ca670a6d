"""What a region calls its places and benefits: a file, in the place of codes."""

from pathlib import Path

import pytest

from services.cabinet.region import Region, load_region, region_of
from streaming.errors import SettingError
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals

HERE = Region(
    municipalities={PAYER: "Нигдейск"},
    benefits={"b01": "Семья на севере", "b02": "Семья на юге"},
)


def test_a_place_without_a_name_is_called_by_its_code_and_comes_last() -> None:
    region = Region(municipalities={"25714000": "Братск", "25703000": "Ангарск"})

    assert region.in_order(["25701000", "25714000", "25703000"]) == [
        ("25703000", "Ангарск"),
        ("25714000", "Братск"),
        ("25701000", "25701000"),
    ]


def test_a_deployments_own_file_holds_and_benefits_that_are_made_up_stay_in_the_sandbox(
    tmp_path: Path,
) -> None:
    own = tmp_path / "region.yaml"
    own.write_text('municipalities: {"25701000": Нигдейск}\nbenefits: {b07: Льгота}\n')

    assert region_of(own, sandbox=False).benefits == {"b07": "Льгота"}
    assert region_of(own, sandbox=True).municipality(PAYER) == "Нигдейск"
    assert region_of(None, sandbox=True).benefits != {}
    assert region_of(None, sandbox=False).benefits == {}
    assert region_of(None, sandbox=False).municipality(PAYER) == "Иркутск"


def test_the_compose_deployment_asks_for_no_benefits_that_are_made_up() -> None:
    deployed = load_region(Path(__file__).parents[2] / "deploy" / "region.yaml")

    assert deployed.benefits == {}
    assert deployed.municipalities == region_of(None, sandbox=False).municipalities


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[]", "nothing else", id="no names"),
        pytest.param("towns: {}", "nothing else", id="something else"),
        pytest.param("municipalities: {25701000: Иркутск}", "in quotes", id="a code as a number"),
        pytest.param('benefits: {"1": Льгота}', "b01 to b99", id="no code of a benefit"),
        pytest.param('municipalities: {"25701000": ""}', "needs a name", id="no name"),
        pytest.param("benefits: [b01]", "names by code", id="a list"),
        pytest.param("benefits: {b01: [}", "no YAML", id="no YAML"),
    ],
)
def test_a_file_that_is_wrong_stops_the_start_and_says_where(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "region.yaml"
    path.write_text(text)

    with pytest.raises(SettingError, match=said):
        load_region(path)


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        region_of(tmp_path / "none.yaml", sandbox=False)


async def test_families_pick_places_by_name(journals: Journals) -> None:
    published = story.group("grp-060", "Танцы")
    await journals.noted("enrollment", "navigator.group-published", published, payer=OTHER_PAYER)
    await journals.follow()
    async with client_of(app_of(journals, stand_in=True, region=HERE)) as client:
        page = (await client.get(f"/families/{story.GUARDIAN}/clubs")).text

    assert f'<option value="{PAYER}" selected>Нигдейск</option>' in page
    assert f'<option value="{OTHER_PAYER}">{OTHER_PAYER}</option>' in page
    assert "ОКТМО" not in page


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/console", f'<a href="/console/{PAYER}">Нигдейск</a>'),
        (f"/console/{PAYER}", "<h1>Нигдейск</h1>"),
        (f"/console/{PAYER}/reports", "<title>Отчёты · Нигдейск"),
        (f"/console/{PAYER}/invoices", "<title>Счета · Нигдейск"),
        (f"/console/{PAYER}/rules", "<title>Условия · Нигдейск"),
        (f"/journal/{story.PROVIDER}/money", "Платит Нигдейск</h2>"),
        ("/login", "<b>Муниципалитет</b><span>Нигдейск</span>"),
    ],
)
async def test_who_works_with_a_place_reads_its_name(
    journals: Journals, path: str, named: str
) -> None:
    async with client_of(app_of(journals, region=HERE)) as client:
        page = (await client.get(path)).text

    assert named in page


async def test_who_works_with_a_place_without_a_name_reads_its_code(journals: Journals) -> None:
    async with client_of(app_of(journals)) as client:
        page = (await client.get(f"/console/{PAYER}")).text

    assert f"<h1>{PAYER}</h1>" in page
