"""The records of a journal: dense numbers, each with the hash of the one before."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import GENESIS_HASH
from streaming.journal import Entry, JournalEnd, append, canonical, command, record_hash
from streaming.view import Cause

CAUSE = Cause(topic="navigator.events.v1", partition=2, offset=7, time="2020-09-01T10:00:00+08:00")


def entry(text: str, index: int = 0) -> Entry:
    return Entry(
        type="billing.input-noted.v1",
        subject="child-1",
        payer="25701000",
        business_day="2020-09-01",
        cause=CAUSE,
        cause_index=index,
        data={"text": text},
    )


def test_records_are_numbered_and_chained() -> None:
    end, records = JournalEnd(), list[dict[str, Any]]()
    for number, text in enumerate(("Один", "Два", "Три")):
        end, value = append("billing", 2, end, entry(text, number))
        records.append(json.loads(value))

    assert [one["journalseq"] for one in records] == [1, 2, 3]
    assert [one["id"] for one in records] == ["billing:2:1", "billing:2:2", "billing:2:3"]
    assert [one["prevhash"] for one in records] == [
        GENESIS_HASH,
        records[0]["hash"],
        records[1]["hash"],
    ]
    assert [one["hash"] for one in records] == [record_hash(one) for one in records]
    assert end == JournalEnd(3, records[2]["hash"])


JSON = st.recursive(
    st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=9) | st.just(',"hash":""'),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["a", "hash"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    data=st.dictionaries(st.sampled_from(["a", "hash", "z"]), JSON),
    subject=st.text(max_size=9) | st.just(',"hash":""'),
    time=st.sampled_from(["2020-09-01T10:00:00+08:00", ',"hash":""']),
)
def test_a_record_is_canonical_and_its_hash_is_over_all_the_rest(
    data: dict[str, Any], subject: str, time: str
) -> None:
    said = entry("")._replace(data=data, subject=subject, cause=CAUSE._replace(time=time))
    end, value = append("billing", 2, JournalEnd(6, "a" * 64), said)
    record = json.loads(value)

    assert value == canonical(record)
    assert record["hash"] == record_hash(record) == end.hash
    assert (record["data"], record["subject"], record["time"]) == (data, subject, time)


def test_a_record_that_was_edited_has_another_hash() -> None:
    _, value = append("billing", 2, JournalEnd(), entry("Один"))
    record = json.loads(value)

    record["data"]["text"] = "Два"

    assert record_hash(record) != record["hash"]


def test_a_command_stands_outside_the_journal() -> None:
    sent = json.loads(command("billing", 2, entry("Один", 3), 5))

    assert sent["id"] == "billing:2:5:3"
    assert not {"journalseq", "prevhash", "hash"} & sent.keys()
