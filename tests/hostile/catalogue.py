"""Records that are wrong in every way we could think of, each with the decision it must get.

They are about the family of `tests/pfdo/small.jsonl`, whose one agreement is active, on
2020-09-01. Whatever is here must get exactly its decision and change no book.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streaming.bus import Headers
from streaming.decoding import HEADER_BYTES_MIN

PAYER = "25701000"
NAVIGATOR, PAYERS = "navigator", "payers"
ATTENDANCE, DISPUTES = "attendance", "disputes"
APPLIED, DUPLICATE, REFUSED = "applied", "duplicate", "refused"
PARKED, FORWARDED, DEAD = "parked", "forwarded", "dead-lettered"

Expected = tuple[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One record. `away`: so many partitions from where its key belongs."""

    kind: str
    name: str
    source: str
    value: bytes | None
    expected: Expected
    key: bytes | None = PAYER.encode()
    headers: Headers = ()
    away: int = 0

    @property
    def topic(self) -> str:
        """Return where it is sent."""
        return f"{self.source}.events.v1"


def event(type_: str, data: Mapping[str, Any], subject: str | None, **more: Any) -> dict[str, Any]:
    """Return a right event with some attributes changed; None takes one away."""
    made = {
        "specversion": "1.0",
        "id": "hostile",
        "source": f"/{type_.partition('.')[0]}",
        "type": f"{type_}.v1",
        "time": "2020-09-01T18:00:00+08:00",
        "subject": subject,
        "partitionkey": PAYER,
        "data": dict(data),
    } | more
    return {name: value for name, value in made.items() if value is not None}


def mark(lesson: str = "les-900", data: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """Return a right mark of the family's lesson with something changed."""
    plain = {
        "enrollment_id": "enr-first",
        "lesson_id": lesson,
        "lesson_date": "2020-09-01",
        "mark": "present",
        "evidence": "journal",
        "revision": 1,
    } | dict(data or {})
    plain = {name: value for name, value in plain.items() if value is not None}
    subject = more.pop("subject", plain.get("enrollment_id", "enr-first"))
    return event("attendance.lesson-marked", plain, subject, **more)


def written(value: Any) -> bytes:
    """Return JSON as a sender would write it."""
    return json.dumps(value, ensure_ascii=False).encode()


def dispute(data: Mapping[str, Any], **more: Any) -> Any:
    """Return a dispute of a lesson of the family that nobody marked, with something changed."""
    plain = {
        "enrollment_id": "enr-first",
        "lesson_id": "les-950",
        "guardian_id": "guardian-first",
        "ground": "was-absent",
    } | dict(data)
    return event("disputes.lesson-disputed", plain, plain["enrollment_id"], **more)


MARK = written(mark()).decode()


def _dead(kind: str, name: str, value: bytes | None, reason: str, **more: Any) -> Hostile:
    expected = (DEAD, reason)
    return Hostile(kind=kind, name=name, source=ATTENDANCE, value=value, expected=expected, **more)


def _bytes() -> Iterator[Hostile]:
    yield _dead("bytes", "a tombstone", None, "tombstone")
    yield _dead("bytes", "nothing", b"", "empty")
    yield _dead("bytes", "UTF-16", MARK.encode("utf-16"), "not_utf8")
    yield _dead("bytes", "Windows-1251", "Иван".encode("cp1251"), "not_utf8")
    yield _dead("bytes", "a cut character", "{}я".encode()[:-1], "not_utf8")
    yield _dead("bytes", "an overlong slash", b'{"a":"\xc0\xaf"}', "not_utf8")
    yield _dead("bytes", "a byte order mark", b"\xef\xbb\xbf" + MARK.encode(), "not_json")
    yield _dead("bytes", "gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "not_utf8")
    yield _dead("bytes", "Avro of a schema registry", b"\x00\x00\x00\x00\x07{}", "not_json")
    yield _dead("bytes", "zeros", bytes(100), "not_json")


def _json() -> Iterator[Hostile]:
    yield _dead("json", "text", b"hello", "not_json")
    yield _dead("json", "XML", b"<event/>", "not_json")
    yield _dead("json", "cut off", MARK[:-2].encode(), "not_json")
    yield _dead("json", "two objects", (MARK + MARK).encode(), "not_json")
    yield _dead("json", "a comma too many", b'{"a":1,}', "not_json")
    yield _dead("json", "a comment", b'{"a":1} // one', "not_json")
    yield _dead("json", "single quotes", b"{'a':1}", "not_json")
    yield _dead("json", "a raw line break in a string", b'{"a":"\n"}', "not_json")
    yield _dead("json", "an array", b"[]", "not_object")
    yield _dead("json", "null", b"null", "not_object")
    yield _dead("json", "a number", b"7", "not_object")
    twice = MARK.replace('"mark":', '"mark": "absent", "mark":')
    yield _dead("json", "a mark twice", twice.encode(), "duplicate_key")
    escaped = MARK.replace('"mark":', '"\\u006dark": "absent", "mark":')
    yield _dead("json", "a mark twice, once escaped", escaped.encode(), "duplicate_key")
    yield _dead("json", "too deep", b'{"a":' * 17 + b"1" + b"}" * 17, "too_deep")
    yield _dead("json", "a pit", b"[" * 60_000, "too_deep")
    yield _dead("json", "a lone surrogate", MARK.replace("les-900", "\\ud800").encode(), "not_utf8")


def _numbers() -> Iterator[Hostile]:
    for name, number in {
        "a fraction": "1.0",
        "an exponent": "1e0",
        "NaN": "NaN",
        "infinity": "-Infinity",
        "sixteen digits": "1000000000000000",
        "a thousand digits": "9" * 1000,
    }.items():
        value = MARK.replace('"revision": 1', f'"revision": {number}').encode()
        yield _dead("numbers", name, value, "bad_number")
    yield _dead("numbers", "a leading zero", b'{"a":01}', "not_json")
    for name, revision in {
        "zero": 0,
        "negative": -1,
        "text": "1",
        "true": True,
        "an array": [1],
        "null": None,
    }.items():
        yield _dead(
            "numbers", f"revision {name}", written(mark(data={"revision": revision})), "schema"
        )


def _envelope() -> Iterator[Hostile]:
    wrong: Mapping[str, Mapping[str, Any]] = {
        "no id": {"id": None},
        "an id of 65 characters": {"id": "x" * 65},
        "an id with a space": {"id": "a b"},
        "no source": {"source": None},
        "no type": {"type": None},
        "no subject": {"subject": None},
        "no time": {"time": None},
        "no payer": {"partitionkey": None},
        "a payer of 7 digits": {"partitionkey": "2570100"},
        "a payer in full-width digits": {"partitionkey": "２５７０１０００"},
        "another version of CloudEvents": {"specversion": "0.3"},
        "an extension nobody agreed on": {"colour": "red"},
        "data as base64": {"data_base64": "e30="},
        "another content type": {"datacontenttype": "text/xml"},
        "a time without offset": {"time": "2020-09-01T18:00:00"},
        "the 32nd": {"time": "2020-09-32T18:00:00+08:00"},
        "25 o'clock": {"time": "2020-09-01T25:00:00+08:00"},
        "a sequence with a zero in front": {"sequence": "07"},
        "the number of a journal below zero": {"journalseq": -1},
        "a business day of its own": {"businessday": "2999-01-01"},
        "the number of a journal": {"journalseq": 1},
        "a cause": {"causetopic": "billing.events.v1", "causepartition": 0, "causeoffset": 0},
        "a link of a chain": {"prevhash": "0" * 64, "hash": "0" * 64},
    }
    for name, changed in wrong.items():
        yield _dead("envelope", name, written(mark(**changed)), "bad_envelope")
    yield _dead("envelope", "empty", b"{}", "bad_envelope")
    without = {name: value for name, value in mark().items() if name != "data"}
    yield _dead("envelope", "no data", written(without), "bad_envelope")


def _schema() -> Iterator[Hostile]:
    wrong: Mapping[str, Mapping[str, Any]] = {
        "no lesson": {"lesson_id": None},
        "an unknown mark": {"mark": "asleep"},
        "a mark in Russian": {"mark": "присутствовал"},
        "a date in Russian order": {"lesson_date": "01.09.2020"},
        "the 30th of February": {"lesson_date": "2020-02-30"},
        "a date with a time": {"lesson_date": "2020-09-01T00:00:00"},
        "an id in capitals": {"lesson_id": "LES-900"},
        "an id that leads out": {"lesson_id": "../../etc"},
        "an id with our separator": {"lesson_id": "les|900"},
        "an id of 41 characters": {"lesson_id": "l" * 41},
        "a line break in an id": {"lesson_id": "les-900\n"},
    }
    for name, data in wrong.items():
        yield _dead("schema", name, written(mark(data=data)), "schema")
    yield _dead("schema", "an unknown field", written(mark(data={"name": "x"})), "unknown_field")
    yield _dead("schema", "another subject", written(mark(subject="enr-other")), "subject_mismatch")
    sung = written(mark(type="attendance.lesson-sung.v1"))
    yield _dead("schema", "an unknown type", sung, "unknown_type")
    newer = written(mark(type="attendance.lesson-marked.v2"))
    yield _dead("schema", "a version to come", newer, "unknown_version")


def _scope() -> Iterator[Hostile]:
    yield _dead("scope", "another source", written(mark(source="/payers")), "source_mismatch")
    own = written(mark(source="/services/billing"))
    yield _dead("scope", "in the name of a service", own, "source_mismatch")
    charged = mark(type="billing.lesson-charged.v1")
    yield _dead("scope", "a fact of a service", written(charged), "out_of_scope")
    provider = {"provider_id": "prov-evil", "title": "Чужая", "state": "active", "revision": 1}
    foreign = event("navigator.provider-registered", provider, "prov-evil", source="/attendance")
    yield _dead("scope", "what another source may say", written(foreign), "out_of_scope")
    disputed = dispute({}, source="/attendance")
    yield _dead("scope", "a journal that speaks for a family", written(disputed), "out_of_scope")


def _headers_and_sizes() -> Iterator[Hostile]:
    good = DUPLICATE, None
    yield Hostile(
        kind="headers",
        name="headers that are no text",
        source=ATTENDANCE,
        value=_known_mark(),
        headers=(("h", b"\xff\xfe"),) * 32,
        expected=good,
    )
    yield Hostile(
        kind="headers",
        name="a wish for a reply",
        source=ATTENDANCE,
        value=_known_mark(),
        headers=(("reply_to", b"payers.events.v1"), ("correlation_id", b"1")),
        expected=good,
    )
    yield Hostile(
        kind="headers",
        name="the name of a mark of ours",
        source=ATTENDANCE,
        value=_known_mark(),
        headers=(("pfdo-reason", b"empty"), ("pfdo-mark", b"dismissed")),
        expected=good,
    )
    many = (("h", b""),) * 33
    yield _dead("headers", "33 headers", MARK.encode(), "too_many_headers", headers=many)
    room = 64 * 1024 - len(MARK.encode())
    big = (("h", bytes(1_000_000)),)
    for number in (1, 2, 3):
        # Each of them fits into a commit, all of them together do not.
        name = f"1 MB of headers, number {number}"
        yield _dead("sizes", name, b"{}", "too_large", headers=big)
    yield _dead(
        "sizes", "1 MB of headers and a good event", _known_mark(), "too_large", headers=big
    )
    yield _dead("sizes", "a key of 1 MB", _known_mark(), "too_large", key=bytes(1_000_000))
    fill = 64 * 1024 - len(PAYER) - len("h") - HEADER_BYTES_MIN
    yield _dead(
        "sizes",
        "a byte above 64 KiB of headers",
        _known_mark(),
        "too_large",
        headers=(("h", bytes(fill + 1)),),
    )
    yield Hostile(
        kind="sizes",
        name="64 KiB of headers and key to the byte",
        source=ATTENDANCE,
        value=_known_mark(),
        headers=(("h", bytes(fill)),),
        expected=good,
    )
    yield _dead("sizes", "a byte above 64 KiB", MARK.encode() + b" " * (room + 1), "too_large")
    yield _dead("sizes", "900 KB", b'"' + b"x" * 900_000 + b'"', "too_large")
    yield Hostile(
        kind="sizes",
        name="64 KiB to the byte",
        source=ATTENDANCE,
        value=_known_mark() + b" " * (64 * 1024 - len(_known_mark())),
        expected=good,
    )
    yield Hostile(
        kind="headers",
        name="no record key",
        source=ATTENDANCE,
        value=_known_mark(),
        key=None,
        expected=good,
    )
    yield Hostile(
        kind="headers",
        name="another record key",
        source=ATTENDANCE,
        value=_known_mark(),
        key=b"25703000",
        expected=good,
    )


def _known_mark(**more: Any) -> bytes:
    """Return the mark of the family that was decided before."""
    return written(mark("les-001", **({"id": "a-1"} | more)))


def _identity() -> Iterator[Hostile]:
    def one(name: str, source: str, value: Any, *expected: str) -> Hostile:
        reason = expected[1] if len(expected) > 1 else None
        return Hostile(
            kind="identity",
            name=name,
            source=source,
            value=value if isinstance(value, bytes) else written(value),
            expected=(expected[0], reason),
        )

    yield one("a copy", ATTENDANCE, _known_mark(), DUPLICATE)
    yield one("a copy under another id", ATTENDANCE, _known_mark(id="other"), DUPLICATE)
    yield one(
        "a copy of another time", ATTENDANCE, _known_mark(time="2021-01-01T00:00:00Z"), DUPLICATE
    )
    other = mark("les-001", {"mark": "absent"}, id="a-1")
    yield one("other data under the same id", ATTENDANCE, other, REFUSED, "conflict")
    yield one("the same again", ATTENDANCE, other, REFUSED, "conflict")
    child = {
        "child_id": "child-first",
        "birth_date": "2001-05-05",
        "guardian_ids": ["guard-first"],
        "benefits": [],
        "revision": 1,
    }
    born = event("navigator.child-registered", child, "child-first")
    yield one("another birth date", NAVIGATOR, born, REFUSED, "conflict")
    period = {
        "period": "2020",
        "starts_on": "2020-01-01",
        "ends_on": "2029-12-31",
        "basis": "Постановление",
    }
    longer = event("payers.period-opened", period, "2020")
    yield one("a longer period", PAYERS, longer, REFUSED, "conflict")


def _business() -> Iterator[Hostile]:
    def one(name: str, source: str, value: Any, reason: str) -> Hostile:
        return Hostile(
            kind="business",
            name=name,
            source=source,
            value=written(value),
            expected=(REFUSED, reason),
        )

    before = mark("les-901", {"lesson_date": "2020-08-31"})
    yield one("a lesson before the agreement", ATTENDANCE, before, "outside_agreement")
    ancient = mark("les-906", {"lesson_date": "0001-09-01"})
    yield one("a lesson of the year 1", ATTENDANCE, ancient, "outside_agreement")
    after = mark("les-902", {"lesson_date": "2021-06-01"})
    yield one("a lesson after the agreement", ATTENDANCE, after, "outside_agreement")
    far = mark("les-903", {"lesson_date": "2020-10-03"})
    yield one("a lesson in 32 days", ATTENDANCE, far, "future_lesson")
    for name, step in {
        "accepting what is active": "accepted",
        "withdrawing what is active": "withdrawn",
    }.items():
        told = event(f"navigator.application-{step}", {"enrollment_id": "enr-first"}, "enr-first")
        yield one(name, NAVIGATOR, told, "not_awaiting_acceptance")
    frozen = {"child_id": "child-first", "frozen": True, "reason": "Проверка", "revision": 1}
    freeze = event("payers.certificate-freeze-set", frozen, "child-first")
    yield one("freezing a child that learns", PAYERS, freeze, "has_active_agreement")
    nobody = event(
        "payers.certificate-freeze-set", frozen | {"child_id": "child-nobody"}, "child-nobody"
    )
    yield one("freezing nobody", PAYERS, nobody, "unknown_certificate")
    nominal = {
        "child_id": "child-first",
        "period": "2020",
        "nominal_kopecks": 804_395,
        "reason": "Ошибка",
        "revision": 1,
    }
    lower = event("payers.nominal-corrected", nominal, "child-first")
    yield one("a nominal a kopeck below what is bound", PAYERS, lower, "would_go_negative")
    elsewhere = event(
        "payers.nominal-corrected", nominal | {"period": "2031", "revision": 2}, "child-first"
    )
    yield one("a nominal of no period", PAYERS, elsewhere, "unknown_certificate")
    paid = {"invoice_id": "inv-nothing", "paid_on": "2020-09-01", "payment_reference": "1"}
    invoice = event("payers.invoice-paid", paid, "inv-nothing")
    yield one("paying no invoice", PAYERS, invoice, "unknown_invoice")
    closing = {"period": "2020", "closes_on": "2020-09-02"}
    closed = event("payers.enrollment-closed", closing, "2020")
    yield one("closing enrollment tomorrow", PAYERS, closed, "too_late")
    yield one("disputing what was not charged", DISPUTES, dispute({}), "already_finished")
    again = dispute({"ground": "wrong-child"})
    yield one("disputing it in other words", DISPUTES, again, "conflict")
    strangers = dispute({"enrollment_id": "enr-nobody"})
    yield one("disputing for nobody", DISPUTES, strangers, "unknown_enrollment")
    attended = {
        "enrollment_id": "enr-first",
        "lesson_id": "les-001",
        "by": "provider",
        "answer": "attended",
        "evidence": "qr",
    }
    answered = event("disputes.dispute-answered", attended, "enr-first")
    yield one("answering what nobody asked", DISPUTES, answered, "not_awaiting_acceptance")
    rows = {
        "table": "billing.charging",
        "from": "2020-09-02",
        "published": "2020-09-01",
        "basis": "Постановление",
        "rows": [
            {"id": "missed", "when": {"mark": ["ill"]}, "then": {"charge": False}, "says": "x"}
        ],
    }
    gap = event("payers.rules-published", rows, "billing.charging")
    yield one("rules with a gap", PAYERS, gap, "rules_invalid")
    money = rows | {"table": "billing.prices"}
    nowhere = event("payers.rules-published", money, "billing.prices")
    yield one("rules of no table", PAYERS, nowhere, "rules_invalid")


def _order() -> Iterator[Hostile]:
    def one(name: str, source: str, value: Any, waits_for: str) -> Hostile:
        return Hostile(
            kind="order",
            name=name,
            source=source,
            value=written(value),
            expected=(PARKED, waits_for),
        )

    early = mark("les-904", {"enrollment_id": "enr-later"})
    yield one("a mark before its enrollment", ATTENDANCE, early, "reserve:enr-later")
    tomorrow = mark("les-905", {"lesson_date": "2020-09-02", "mark": "absent"})
    yield one("a mark of tomorrow", ATTENDANCE, tomorrow, "day:2020-09-02")
    moved = mark("les-001", {"lesson_date": "2020-09-02", "revision": 2})
    yield one("a lesson that moves to tomorrow", ATTENDANCE, moved, "day:2020-09-02")
    rejected = event(
        "navigator.application-rejected",
        {"enrollment_id": "enr-later", "reason": "Нет мест"},
        "enr-later",
    )
    yield one("an answer before the application", NAVIGATOR, rejected, "enrollment:enr-later")


def _time() -> Iterator[Hostile]:
    # The time of an envelope is informative: whatever RFC 3339 allows is let through.
    for name, time in {
        "a leap second": "2016-12-31T23:59:60Z",
        "small letters": "2020-09-01t18:00:00z",
        "nine decimals": "2020-09-01T18:00:00.123456789+08:00",
        "the year 1": "0001-01-01T00:00:00+23:59",
        "the year 9999": "9999-12-31T23:59:59-23:59",
        "a clock of 1970": "1970-01-01T00:00:00Z",
    }.items():
        yield Hostile(
            kind="time",
            name=name,
            source=ATTENDANCE,
            value=_known_mark(time=time),
            expected=(DUPLICATE, None),
        )


def _place() -> Iterator[Hostile]:
    yield Hostile(
        kind="place",
        name="a wrong partition",
        source=ATTENDANCE,
        value=_known_mark(id="lost"),
        away=1,
        expected=(FORWARDED, None),
    )
    yield Hostile(
        kind="place",
        name="as many headers as may be, in a wrong partition",
        source=ATTENDANCE,
        value=_known_mark(id="lost-2"),
        headers=(("h", b""),) * 32,
        away=1,
        expected=(FORWARDED, None),
    )
    big = (("h", bytes(1_000_000)),)
    lost = _known_mark(id="lost-3")
    yield _dead("place", "1 MB of headers, elsewhere", lost, "too_large", headers=big, away=1)
    yield _dead("place", "broken, in a wrong partition", b"hello", "not_json", away=1)


CATALOGUE: tuple[Hostile, ...] = (
    *_bytes(),
    *_json(),
    *_numbers(),
    *_envelope(),
    *_schema(),
    *_scope(),
    *_headers_and_sizes(),
    *_identity(),
    *_business(),
    *_order(),
    *_time(),
    *_place(),
)
