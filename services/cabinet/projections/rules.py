"""The rules payers publish: each table is decided by the service it belongs to."""

from contracts.envelope import Envelope
from contracts.payers import RulesPublished
from contracts.vocabulary import Service
from services.cabinet.projections.models import OWN_RULES, OwnRules, member, under
from services.cabinet.projections.projection import cabinet, note_applied, payer_of
from streaming.follower import Models


def _follow(service: Service) -> None:
    @cabinet.of_input(service, RulesPublished)
    def rules_published(event: RulesPublished, envelope: Envelope, models: Models) -> None:
        # Others keep a copy of tables they read; only the owner of a table answers for it.
        if event.table.partition(".")[0] == service:
            note_applied(envelope, models)
            payer, said = payer_of(envelope), event.to_data()
            place = (payer, event.table, event.from_.isoformat(), event.published.isoformat())
            rows = tuple(said["rows"])
            models.put(under(*place), OwnRules(basis=event.basis, rows=rows))
            models.add(OWN_RULES, member(*place))


for _service in Service:
    _follow(_service)
