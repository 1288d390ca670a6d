"""What payers grant and owe: their categories, the accounts of providers, invoices."""

from collections.abc import Iterable, Mapping, Sequence

from services.cabinet.certificate_queries import is_over
from services.cabinet.enrollment_queries import EnrollmentQueries
from services.cabinet.parts import Answer, Part, last, split
from services.cabinet.projections.models import (
    ACCOUNTS,
    CATEGORIES,
    INVOICES,
    PAYERS,
    PERIODS,
    PROVIDERS,
    Account,
    Category,
    Invoice,
    InvoicePage,
    Period,
    Provider,
    beginning,
    queue,
    under,
)
from services.cabinet.together import together
from streaming.store import Count


class MoneyQueries(EnrollmentQueries):
    """Questions about payers, providers and invoices, beside all before."""

    async def payer(self, code: str) -> Answer | None:
        """Return the categories of a payer with holders, budget and queues, or None."""
        part = self._part_of(code)
        if not await part.first(PAYERS, code, f"{code}\0", 1):
            return None
        return (await self._payers(part, [code])).get(code)

    async def provider(self, id_: str) -> Answer | None:
        """Return what is owed to a provider, invoiced and settled, payer by payer, or None."""
        home, owed = await together(
            self._place(PROVIDERS, id_), self._everywhere(lambda part: _accounts(part, id_))
        )
        payers = sorted(
            (account for accounts in owed for account in accounts), key=lambda each: each["payer"]
        )
        if home is None and not payers:
            return None
        return {"provider_id": id_, "payers": payers}

    async def invoice(self, id_: str) -> Answer | None:
        """Return an invoice with its lines, or None."""
        found = await self._place(INVOICES, id_)
        if found is None:
            return None
        part, payer = found
        return (await self._invoices(part, [(id_, payer)])).get(id_)

    async def provider_titles(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the titles of those ids that are providers."""
        asked = list(ids)
        titles = await together(*(self._provider_title(id_) for id_ in asked))
        return {id_: title for id_, title in zip(asked, titles, strict=True) if title is not None}

    async def _provider_title(self, id_: str) -> str | None:
        found = await self._place(PROVIDERS, id_)
        if found is None:
            return None
        part, home = found
        provider = await part.find(Provider, under(home, id_))
        return None if provider is None else provider.title

    async def _payers(self, part: Part, codes: Sequence[str]) -> dict[str, Answer]:
        standing, found = await together(
            part.standing(), together(*(_categories_of(part, code) for code in codes))
        )
        day = standing["business_day"]
        return {
            code: _payer(code, day, *of_payer) for code, of_payer in zip(codes, found, strict=True)
        }

    async def _payers_at(self, part: Part, places: Sequence[tuple[str, str]]) -> dict[str, Answer]:
        return await self._payers(part, [id_ for id_, _ in places])

    async def _providers(self, part: Part, places: Sequence[tuple[str, str]]) -> dict[str, Answer]:
        del part  # they are owed in many
        found = await together(*(self.provider(id_) for id_, _ in places))
        return {answer["provider_id"]: answer for answer in found if answer is not None}

    async def _invoices(self, part: Part, places: Sequence[tuple[str, str]]) -> dict[str, Answer]:
        known = await part.all(Invoice, [under(payer, id_) for id_, payer in places])
        found = await together(
            *(
                _invoice(part, payer, id_, invoice)
                for (id_, payer), invoice in zip(places, known, strict=True)
                if invoice is not None
            )
        )
        return {answer["invoice_id"]: answer for answer in found}


async def _categories_of(
    part: Part, code: str
) -> tuple[dict[str, Period | None], list[tuple[list[str], Category | None, int]]]:
    """Return the periods of a payer, and its categories: where each stands, and how many wait."""
    in_periods, in_categories = await together(
        part.members(PERIODS, *beginning(code)), part.members(CATEGORIES, *beginning(code))
    )
    names = [last(entry) for entry in in_periods]
    places = [split(entry) for entry in in_categories]
    periods, categories, queued = await together(
        part.all(Period, [under(code, name) for name in names]),
        part.all(Category, [under(*place) for place in places]),
        part.counts([Count(queue(*place)) for place in places]),
    )
    return (
        dict(zip(names, periods, strict=True)),
        list(zip(places, categories, queued, strict=True)),
    )


def _payer(
    code: str,
    day: str | None,
    periods: Mapping[str, Period | None],
    categories: Iterable[tuple[list[str], Category | None, int]],
) -> Answer:
    of_period: dict[str, list[Answer]] = {period: [] for period in periods}
    for (_, period, name), category, waiting in categories:
        if category is not None:
            of_period.setdefault(period, []).append(
                {
                    "category": name,
                    "nominal_kopecks": category.nominal_kopecks,
                    "places_max": category.places_max,
                    "holders": category.holders,
                    "budget_max_kopecks": category.budget_max_kopecks,
                    "granted_kopecks": category.granted_kopecks,
                    "queued": 0 if is_over(periods.get(period), day) else waiting,
                }
            )
    return {
        "payer": code,
        "periods": [
            {"period": period, "categories": found} for period, found in sorted(of_period.items())
        ],
    }


async def _invoice(part: Part, payer: str, id_: str, invoice: Invoice) -> Answer:
    ids = [under(payer, id_, str(page)) for page in range(invoice.pages)]
    return {
        "invoice_id": id_,
        "payer": payer,
        "provider_id": invoice.provider_id,
        "month": invoice.month,
        "amount_kopecks": invoice.amount_kopecks,
        "settled": invoice.settled,
        "lines": [
            {
                "line_reference": line.line_reference,
                "enrollment_id": line.enrollment_id,
                "amount_kopecks": line.amount_kopecks,
            }
            for page in await part.all(InvoicePage, ids)
            if page is not None
            for line in page.lines
        ],
    }


async def _accounts(part: Part, provider_id: str) -> list[Answer]:
    payers = [last(e) for e in await part.members(ACCOUNTS, *beginning(provider_id))]
    accounts = await part.all(Account, [under(payer, provider_id) for payer in payers])
    return [
        {
            "payer": payer,
            "charged_kopecks": account.charged_kopecks,
            "invoiced_kopecks": account.invoiced_kopecks,
            "settled_kopecks": account.settled_kopecks,
        }
        for payer, account in zip(payers, accounts, strict=True)
        if account is not None
    ]
