"""The same face enrolled at two workers at the same moment: the later answer names the earlier subject."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from workers.connections import Connection


def test_the_same_face_at_two_workers_is_told_to_the_later(both: list[Connection]) -> None:
    """Neither is in the other's memory when it is looked for."""
    with ThreadPoolExecutor(2) as pool:
        for number in range(10):
            names = [f"same-{number}-{worker}" for worker in range(2)]
            answers = list(
                pool.map(lambda worker, name, seed: worker.enroll(name, seed), both, names, [9000 + number] * 2)
            )
            earlier, later = sorted(zip(answers, names, strict=True), key=lambda each: each[0].revision)
            assert earlier[1] in [each.subject_id for each in later[0].duplicates], number
