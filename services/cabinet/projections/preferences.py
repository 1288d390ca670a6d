"""How guardians want to be told, from the journal of notifications, which decides it."""

from msgspec.structs import replace

from contracts.envelope import Envelope
from contracts.navigator import PreferencesSet
from contracts.vocabulary import Service
from services.cabinet.projections.models import Preferences, under
from services.cabinet.projections.projection import accepts, payer_of, unsettled
from streaming.follower import Models


@accepts(Service.NOTIFICATIONS, PreferencesSet)
def preferences_set(event: PreferencesSet, envelope: Envelope, models: Models) -> None:
    """A guardian said it; what is accepted is later than all before."""
    models.put(
        under(payer_of(envelope), event.guardian_id),
        Preferences(
            revision=event.revision,
            is_set=True,
            channels={
                category: tuple(channel.value for channel in channels)
                for category, channels in event.channels.items()
            },
            quiet_from=event.quiet_from,
            quiet_until=event.quiet_until,
            utc_offset=event.utc_offset,
            digest=event.digest,
        ),
    )


@unsettled(Service.NOTIFICATIONS, PreferencesSet)
def preferences_not_set(
    event: PreferencesSet, envelope: Envelope, models: Models, trouble: str | None
) -> None:
    """What was refused used its revision up; what was said before holds on."""
    del trouble
    id_ = under(payer_of(envelope), event.guardian_id)
    known = models.find(Preferences, id_) or Preferences()
    models.put(id_, replace(known, revision=max(known.revision, event.revision)))
