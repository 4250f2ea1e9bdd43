from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lib.activelearning.handout import pick
from lib.domain.records import Priority

QUEUE = [
    Priority(image_id=f"{patient}_{code}", patient_id=patient, reason="because")
    for patient in ("P1", "P2", "P3")
    for code in ("CP", "NP")
]
IDS = [case.image_id for case in QUEUE]


def picked(**claims: object) -> str | None:
    found = pick(QUEUE, **{"holder": "me", "holders": {}, **claims})  # type: ignore[arg-type]
    return found.image_id if found else None


def test_the_first_of_the_queue_comes_first() -> None:
    assert picked() == "P1_CP"


def test_the_other_sequences_of_an_open_patient_come_next_and_that_is_the_reason() -> None:
    found = pick(QUEUE, holder="me", holders={"P3_CP": "me"}, open_patients={"P3"})
    assert found is not None
    assert (found.image_id, found.reason) == ("P3_NP", "another sequence of the patient who is open")


def test_a_patient_whom_somebody_else_has_open_waits_until_nobody_is_left() -> None:
    assert picked(holders={"P1_CP": "you"}) == "P2_CP"
    assert picked(holders={"P1_CP": "you"}, skipped={"P2_CP", "P2_NP", "P3_CP", "P3_NP"}) == "P1_NP"


def test_what_others_skipped_comes_after_what_nobody_did() -> None:
    assert picked(skipped_by_others={"P1_CP"}) == "P1_NP"
    assert picked(skipped_by_others=set(IDS)) == "P1_CP"


def test_what_i_hold_already_comes_last_but_is_not_lost() -> None:
    assert picked(holders={"P1_CP": "me"}) == "P1_NP"
    assert picked(holders={"P1_CP": "me"}, skipped=set(IDS) - {"P1_CP"}) == "P1_CP"


some = st.sets(st.sampled_from(IDS))


@given(held=st.dictionaries(st.sampled_from(IDS), st.sampled_from(["me", "you"])), skipped=some, by_others=some)
def test_nobody_ever_gets_what_another_holds_or_what_they_skipped(
    held: dict[str, str], skipped: set[str], by_others: set[str]
) -> None:
    found = picked(holders=held, skipped=skipped, skipped_by_others=by_others)
    allowed = {image for image in IDS if held.get(image, "me") == "me" and image not in skipped}
    assert found in allowed or (found is None and not allowed)
