"""Who may send which events for whom, as `sources.yaml` says it. `docs/events.md`, section 2."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from contracts.vocabulary import PayerCode, ProviderId, Service

SHIPPED_PATH = Path(__file__).with_name("sources.yaml")
READERS = (*(str(service) for service in Service), "cabinet")
SOURCES_MAX = 200
INPUT_STREAMS = ("navigator", "payers", "attendance", "disputes")
"""The streams that come from outside; no source may speak as a service or as the calendar."""

_NAME = re.compile(r"[a-z][a-z0-9-]{1,39}\Z")
_TYPE = re.compile(rf"({'|'.join(INPUT_STREAMS)})\.(\*|[a-z0-9-]+\.v[1-9][0-9]*)\Z")
_OKTMO = re.compile(r"[0-9]{8}\Z")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{2,39}\Z")
_KEYS = {"sends", "payers", "providers", "decider", "readers"}
# These write topics of the system itself, or have rights of their own (`contracts.access`).
_TAKEN = {*READERS, "calendar", "senders", "operator", "watch", "admin"}


class SourcesError(ValueError):
    """A sources file is wrong; the message says which entry, why and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One sender of events and what it may say. None in a scope is everybody."""

    name: str
    sends: tuple[str, ...]
    payers: frozenset[PayerCode] | None = None
    providers: frozenset[ProviderId] | None = None
    decider: str | None = None
    readers: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        """Return the `source` its envelopes must carry."""
        return f"/{self.name}"

    def may_send(self, type_name: str) -> bool:
        """Return whether a type of event, by its full name, is within its scope."""
        stream = type_name.partition(".")[0]
        return type_name in self.sends or f"{stream}.*" in self.sends

    def may_speak_for_payer(self, payer: PayerCode) -> bool:
        """Return whether a payer is within its scope."""
        return self.payers is None or payer in self.payers

    def may_speak_for_provider(self, provider_id: ProviderId) -> bool:
        """Return whether a provider is within its scope."""
        return self.providers is None or provider_id in self.providers


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All sources of an installation and, where they are listed, its payers."""

    by_name: Mapping[str, Source]
    payers: frozenset[PayerCode] | None = None

    def __iter__(self) -> Iterator[Source]:
        """Return the sources in order of name, so that topics have one order everywhere."""
        return iter(self.by_name[name] for name in sorted(self.by_name))


class _Loader(yaml.SafeLoader):
    """YAML without repeated keys, which every parser else resolves in silence."""


def _unrepeated(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in found:
            raise SourcesError(
                f"line {key_node.start_mark.line + 1}: {key!r} is there twice. Keep one of them."
            )
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unrepeated)


def load_sources(path: Path = SHIPPED_PATH) -> Sources:
    """Return the sources of a file; the shipped one unless a deployment names its own.

    Raises SourcesError with file, entry and remedy for what is missing, unknown or repeated, and
    for payers whose certificate numbers would begin alike (`docs/rules.md`, section 4, Number).
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
        return _read(content)
    except OSError as error:
        raise SourcesError(f"{path}: cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourcesError(f"{path}: is no YAML: {error}") from error
    except SourcesError as error:
        raise SourcesError(f"{path}: {error}") from error


def _read(content: Any) -> Sources:
    if not isinstance(content, dict) or set(content) - {"payers"} != {"sources"}:
        raise SourcesError("must hold `sources` and may hold `payers`, nothing else.")
    entries = content["sources"]
    if not isinstance(entries, dict) or not 0 < len(entries) <= SOURCES_MAX:
        raise SourcesError(f"`sources` must hold 1 to {SOURCES_MAX} entries.")
    sources = {name: _source(name, entry) for name, entry in entries.items()}
    payers = _payers("payers", content.get("payers", "all"))
    listed = payers or frozenset[PayerCode]()
    check_payers(listed.union(*(source.payers or () for source in sources.values())))
    for source in sources.values():
        foreign = sorted((source.payers or frozenset()) - listed) if payers is not None else []
        if foreign:
            raise SourcesError(
                f"{source.name}: {foreign[0]} is not among `payers`. Add it or remove it here."
            )
    # For all is for all of these.
    scoped = {name: replace(each, payers=each.payers or payers) for name, each in sources.items()}
    return Sources(by_name=scoped, payers=payers)


def _source(name: Any, entry: Any) -> Source:
    if not isinstance(name, str) or not _NAME.match(name) or name in _TAKEN:
        raise SourcesError(
            f"{name!r} is no name for a source. Take small letters, digits and hyphens, "
            f"and none of {', '.join(sorted(_TAKEN))}."
        )
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        raise SourcesError(f"{name}: must hold exactly {', '.join(sorted(_KEYS))}.")
    sends = _texts(f"{name}.sends", entry["sends"])
    for type_name in sends:
        if not _TYPE.match(type_name):
            raise SourcesError(
                f"{name}.sends: {type_name!r} is neither a type nor `<stream>.*` of the streams "
                f"that come from outside: {', '.join(INPUT_STREAMS)}."
            )
    readers = _texts(f"{name}.readers", entry["readers"])
    for reader in readers:
        if reader not in READERS:
            raise SourcesError(f"{name}.readers: {reader!r} is none of {', '.join(READERS)}.")
    decider = entry["decider"]
    if decider not in readers or decider not in tuple(Service):
        raise SourcesError(
            f"{name}.decider: must be a reader that keeps a journal: {', '.join(Service)}."
        )
    return Source(
        name=name,
        sends=sends,
        payers=_payers(f"{name}.payers", entry["payers"]),
        providers=_providers(f"{name}.providers", entry["providers"]),
        decider=decider,
        readers=readers,
    )


def _texts(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise SourcesError(f"{where}: must be a list of texts. Put digits in quotes.")
    if len(set(value)) != len(value):
        raise SourcesError(f"{where}: names something twice.")
    return tuple(value)


def _payers(where: str, value: Any) -> frozenset[PayerCode] | None:
    if value == "all":
        return None
    codes = _texts(where, value)
    for code in codes:
        if not _OKTMO.match(code):
            raise SourcesError(f"{where}: {code!r} is no OKTMO code of 8 digits.")
    return frozenset(PayerCode(code) for code in codes)


def _providers(where: str, value: Any) -> frozenset[ProviderId] | None:
    if value == "all":
        return None
    ids = _texts(where, value)
    for provider_id in ids:
        if not _ID.match(provider_id):
            raise SourcesError(f"{where}: {provider_id!r} is no id.")
    return frozenset(ProviderId(provider_id) for provider_id in ids)


def certificate_prefix(payer: PayerCode) -> str:
    """Return the digits 3 to 5 of a payer's code, which its certificate numbers begin with."""
    return payer[2:5]


def check_payers(payers: Iterable[PayerCode]) -> None:
    """Raise SourcesError if two payers would give out the same certificate numbers."""
    known: dict[str, PayerCode] = {}
    for payer in sorted(payers):
        other = known.setdefault(certificate_prefix(payer), payer)
        if other != payer:
            raise SourcesError(
                f"{other} and {payer} share the digits 3 to 5, so their certificate numbers would "
                "be the same. They need separate installations."
            )
