"""What became of the rules payers publish: each table is decided by the service it belongs to."""

from contracts.envelope import Envelope
from contracts.payers import RulesPublished
from contracts.vocabulary import Service
from services.cabinet.projections.projection import cabinet, note_applied
from streaming.follower import Models


def _follow(service: Service) -> None:
    @cabinet.of_input(service, RulesPublished)
    def rules_published(event: RulesPublished, envelope: Envelope, models: Models) -> None:
        # Others keep a copy of tables they read; only the owner of a table answers for it.
        if event.table.partition(".")[0] == service:
            note_applied(envelope, models)


for _service in Service:
    _follow(_service)
