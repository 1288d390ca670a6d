"""The shapes of answers, for OpenAPI: those of `docs/interfaces.md`, sums in kopecks."""

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from contracts.vocabulary import DeadLetterReason


class Shape(BaseModel):
    """An answer with exactly these members."""

    model_config = ConfigDict(extra="forbid")


class AsOf(Shape):
    """Up to which journal records an answer goes, at least."""

    partition: int
    business_day: date | None
    journals: dict[str, int] = Field(description="`journalseq` by topic")


class CertificatePeriod(Shape):
    """A certificate in a period; nominal = balance + reserved + paid + expired."""

    period: str
    category: str
    state: str = Field(description="FUNDED or ACCOUNTING")
    queue_position: int | None = Field(description="1 is the next; null if it does not wait")
    nominal_kopecks: int
    balance_kopecks: int
    reserved_kopecks: int
    paid_kopecks: int
    expired_kopecks: int
    valid_from: date
    valid_until: date


class Movement(Shape):
    """Money that moved on a certificate; the kind says from where to where."""

    at: str = Field(description="RFC 3339, of the cause")
    kind: str = Field(description="The fact of billing, e.g. `lesson-charged`")
    amount_kopecks: int = Field(description="Negative only where a nominal went down")
    enrollment_id: str | None
    lesson_id: str | None
    balance_kopecks: int = Field(description="What was free after it")
    text: str = Field(description="Why, in Russian, for a parent")


class CertificateShape(Shape):
    """A certificate as the parent sees it."""

    certificate_number: str
    child_id: str
    payer: str
    state: str = Field(description="ACTIVE, FROZEN or CLOSED")
    periods: list[CertificatePeriod]
    enrollments: list[str]
    movements: list[Movement]


class CertificateAnswer(CertificateShape):
    """A certificate, and how new this is."""

    as_of: AsOf


class EnrollmentShape(Shape):
    """An enrollment from application to end."""

    enrollment_id: str
    child_id: str
    payer: str
    state: str = Field(
        description="REGISTERED WAITLISTED PLACE_HELD ENROLLED ACTIVE ENDED REFUSED CANCELLED"
    )
    group_id: str
    provider_id: str | None
    starts_on: date | None
    ends_on: date | None
    ended_on: date | None
    certificate_share_kopecks: int | None
    parent_share_kopecks: int | None
    lessons: int | None
    lessons_charged: int
    reserved_kopecks: int
    charged_kopecks: int = Field(description="Net of reversals and adjustments")
    reason: str | None


class EnrollmentAnswer(EnrollmentShape):
    """An enrollment, and how new this is."""

    as_of: AsOf


class GroupShape(Shape):
    """Places and waiting list of a group."""

    group_id: str
    capacity: int
    taken: int
    waiting: list[str] = Field(description="Enrollments, the next first")


class PayerCategory(Shape):
    """A category; null limits: nobody set it yet, and certificates wait for that."""

    category: str
    nominal_kopecks: int | None
    places_max: int | None
    holders: int
    budget_max_kopecks: int | None
    granted_kopecks: int
    queued: int


class PayerPeriod(Shape):
    """A period of a payer."""

    period: str
    categories: list[PayerCategory]


class PayerShape(Shape):
    """Budget, categories, queues of a payer."""

    payer: str
    periods: list[PayerPeriod]


class PayerAnswer(PayerShape):
    """A payer, and how new this is."""

    as_of: AsOf


class ProviderPayer(Shape):
    """What one payer owes a provider."""

    payer: str
    charged_kopecks: int
    invoiced_kopecks: int
    settled_kopecks: int


class ProviderShape(Shape):
    """What is owed to a provider, invoiced and settled."""

    provider_id: str
    payers: list[ProviderPayer]


class InvoiceShapeLine(Shape):
    """A line of an invoice."""

    line_reference: str
    enrollment_id: str
    amount_kopecks: int


class InvoiceShape(Shape):
    """An invoice with its lines."""

    invoice_id: str
    payer: str
    provider_id: str
    month: str
    amount_kopecks: int
    settled: bool
    lines: list[InvoiceShapeLine]


class ExportShape(Shape):
    """Everything that can be shown, of the kinds that were asked for."""

    certificates: dict[str, CertificateShape] | None = None
    enrollments: dict[str, EnrollmentShape] | None = None
    groups: dict[str, GroupShape] | None = None
    providers: dict[str, ProviderShape] | None = None
    payers: dict[str, PayerShape] | None = None
    invoices: dict[str, InvoiceShape] | None = None


class Accepted(Shape):
    """Where an event came to stand."""

    id: str
    topic: str
    partition: int
    offset: int
    status: str = Field(description="Address that tells what became of it")


class AcceptedEvents(Shape):
    """Where the events came to stand, in the order they were sent."""

    events: list[Accepted]


class EventStatus(Shape):
    """What became of an event."""

    topic: str
    partition: int
    offset: int
    decision: str = Field(
        description="applied duplicate refused parked forwarded dead-lettered, or undecided"
    )
    reason: str | None = Field(description="Of what is parked: what it waits for")
    decided_by: str | None


class Problem(Shape):
    """An error, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


class RefusedEvents(Problem):
    """An error of what was sent as events: nothing of it was published."""

    reason: DeadLetterReason = Field(description="Closed list, section 9 of docs/events.md")
    index: int | None = Field(
        default=None, description="Which event of a batch, from 0; absent if it is all of it"
    )


class LookShape(Shape):
    """One entry of what was done with the data of a person; `why` of an erasure is its basis."""

    number: int
    at: str
    deed: str
    by: str
    why: str
    prevhash: str
    hash: str


class LooksShape(Shape):
    """What was done with a person's data: entries kept, how many older ones went."""

    is_whole: bool
    forgotten: int
    looks: list[LookShape]


class ErasureShape(Shape):
    """The act of an erasure; without a new log the server's files still hold the wrapped key."""

    act: LookShape
    log_is_rewritten: bool
