"""What a thief of the disk, or of a backup, gets: nothing of any person. Who has no key, or another, is told so."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from gerbang import CounterClient, GateClient, WatchlistClient
from gerbang_service.store.sealing.keys import create_key_file
from pictures import photo
from running import KEY, RunningServer, StartRefused
from store.people import DATABASE, TEMPLATES, bytes_of, enrol, gerbang, secret, traces, unit

NO_KEY = {"GERBANG_KEY": ""}
REFUSED = 3


def refusal(data: Path, *options: str, env: dict[str, str] | None = None) -> str:
    """Start a server that must refuse, and return the last line that it said."""
    with pytest.raises(StartRefused) as caught:
        RunningServer(data, *TEMPLATES, *options, env=env)
    assert caught.value.returncode == REFUSED, caught.value
    assert "Traceback" not in caught.value.stderr
    return caught.value.stderr.strip().splitlines()[-1]


def test_nothing_of_anybody_is_in_any_file(data: Path) -> None:
    """Database, write-ahead log, shared memory, audit log, backup: no 16 bytes of a vector, a label or a list's label.

    While the server runs, and after it was killed. The search itself finds them in a folder in the clear.
    """
    wanted = [each for seed in range(11) for each in bytes_of(seed)]
    for options, found in (((), False), (("--no-encryption",), True)):
        folder = data / f"clear-{found}"
        folder.parent.mkdir(exist_ok=True)
        running = RunningServer(folder, *TEMPLATES, *options)
        with WatchlistClient(running.address) as office, CounterClient(running.address) as counter:
            office.create_watchlist("cegah", labels={"warrant": secret(99)})
            enrol(office, *range(10))
            office.update_subject("person-1", labels={"case": secret(1), "more": secret(98)})
            assert counter.verify(unit(1), subject_id="person-1").match
            copy = data / f"backup-{found}"
            assert gerbang("backup", "--data", folder, copy).returncode == 0
            enrol(office, 10)  # into the log, if it was emptied of what was changed
        running.kill()
        more = [secret(98).encode(), secret(99).encode()]
        assert (folder / f"{DATABASE}-wal").stat().st_size > 0
        for place in (folder, copy):
            assert bool(traces(place, *wanted, *more)) == found
        assert not traces(data / f"clear-{found}.stderr", *wanted, *more)


def test_no_byte_of_a_photo_is_kept(data: Path) -> None:
    """With a face pack: of the photo that was sent, and of the template made of it, nothing is found."""
    with RunningServer(data, "--pack", "stand-in") as running, WatchlistClient(running.address, timeout=60) as office:
        image = photo(1)
        vector = GateClient(running.address, timeout=60).extract(image).template.vector
        office.enroll("one", [image], labels={"case": secret(1)})
        assert not traces(data, image[200:1200], vector, secret(1).encode())


def test_deleted_means_that_not_even_what_was_encrypted_is_left(data: Path) -> None:
    """After DeleteSubject no 16 bytes in a row of the subject's sealed values are in any file; others' still are."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        enrol(office, *range(30))
        rows = sealed_values(data)
        assert all(traces(data, value) for value in rows["person-7"] + rows["person-8"])
        office.delete_subject("person-7")
        assert not traces(data, *rows["person-7"])
        assert all(traces(data, value) for value in rows["person-8"])


def test_what_was_replaced_is_left_nowhere_not_even_in_answers(data: Path) -> None:
    """New labels, another photo, one template less: of the old ones nothing is in any file, nor told to a repeat."""

    def label(seed: int) -> str:
        return unit(500 + seed).tobytes().hex()[:200]

    with RunningServer(data, *TEMPLATES, "--no-encryption") as running, WatchlistClient(running.address) as office:
        ids = [str(uuid.uuid4()) for _ in range(3)]
        for seed, each in enumerate(ids):
            samples, labels = [unit(seed), unit(seed + 50)], {"case": label(seed)}
            office.enroll(f"person-{seed}", samples, labels=labels, request_id=each, allow_different=True)
        office.update_subject("person-0", labels={})
        assert not traces(data, label(0).encode())
        assert office.enroll("person-0", [unit(0), unit(50)], labels={"case": label(0)}, request_id=ids[0]).replayed
        office.enroll("person-1", [unit(99)], on_existing="replace", allow_different=True)
        assert not traces(data, label(1).encode(), unit(1).tobytes(), unit(51).tobytes())
        office.delete_template("person-2", office.get_subject("person-2").templates[0].template_id)
        assert not traces(data, unit(2).tobytes())
        assert traces(data, unit(52).tobytes(), label(2).encode())


def test_an_answer_names_nobody_who_was_deleted_since(data: Path) -> None:
    """Whom an enrolment pointed out as the same person is not in what is kept of its answer."""
    with RunningServer(data, *TEMPLATES, "--no-encryption") as running, WatchlistClient(running.address) as office:
        office.enroll("somebody-with-the-same-face", [unit(1)])
        again = office.enroll("one", [unit(1)])
        assert [each.subject_id for each in again.duplicates] == ["somebody-with-the-same-face"]
        with closing(sqlite3.connect(f"file:{data / DATABASE}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT * FROM requests WHERE subject_id = 'one'").fetchall()
        assert len(rows) == 1
        assert "somebody" not in repr(rows)


def test_what_a_query_kept_from_being_erased_is_erased_after_it(data: Path) -> None:
    """While a backup or a check reads, deleting is answered all the same; what is left goes when the reading ends."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        enrol(office, 1, 2)
        values = sealed_values(data)["person-1"]
        with closing(sqlite3.connect(f"file:{data / DATABASE}?mode=ro", uri=True, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM templates").fetchone() == (2,)
            office.delete_subject("person-1")
            assert traces(data, *values)
        deadline = time.monotonic() + 20
        while traces(data, *values):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def sealed_values(data: Path) -> dict[str, list[bytes]]:
    """Return what is stored of each subject: vector, labels, and the digest of the request."""
    query = (
        "SELECT subject_id, vector, labels, digest FROM subjects JOIN templates USING (subject_key) "
        "JOIN requests USING (subject_id)"
    )
    with closing(sqlite3.connect(f"file:{data / DATABASE}?mode=ro", uri=True)) as connection:
        return {
            name: [vector, labels.removeprefix("AES-256-GCM:").encode(), digest]
            for name, vector, labels, digest in connection.execute(query)
        }


def test_all_that_was_encrypted_is_there_after_a_restart(data: Path) -> None:
    """Vectors, labels and stored answers are read as they were written, by one server and by two workers."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        office.create_watchlist("cegah", title="a\x00b", labels={"warrant": "nine"}, threshold=0.75)
        enrol(office, 1, 2)
        first = office.enroll("three", [unit(3)], request_id="3d6b7c52-5d9c-4a65-9ed0-2f4b7c3f9a11")
    for options in ((), ("--workers", "2")):
        with RunningServer(data, *TEMPLATES, *options) as running, WatchlistClient(running.address) as office:
            assert office.get_subject("person-2").labels == {"case": secret(2)}
            assert office.get_watchlist("cegah").labels == {"warrant": "nine"}
            again = office.enroll("three", [unit(3)], request_id="3d6b7c52-5d9c-4a65-9ed0-2f4b7c3f9a11")
            assert again.replayed
            assert again.subject.templates == first.subject.templates
            with CounterClient(running.address) as counter:
                assert counter.verify(unit(2), subject_id="person-2").similarity == pytest.approx(1)


def test_only_the_owner_can_use_what_is_made(data: Path) -> None:
    """The data folder is 0700 and every file in it 0600, whatever the umask; wider ones are made so."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        enrol(office, 1)
        for path in (data, *data.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    (data / DATABASE).chmod(0o644)
    with RunningServer(data, *TEMPLATES):
        assert stat.S_IMODE((data / DATABASE).stat().st_mode) == 0o600


def test_no_core_dump_is_left(data: Path) -> None:
    """A server that crashes writes no memory to the disk, and other processes of the user can't look into it."""
    with RunningServer(data, *TEMPLATES) as running:
        limits = Path(f"/proc/{running.pid}/limits").read_text()
        (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert line.split()[4:6] == ["0", "0"]
    program = (
        "import ctypes; from gerbang_service.running import process; process.prepare(); "
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    )
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "0"


def test_commands_with_a_key_keep_their_memory_to_themselves() -> None:
    """check, backup and restore open every value, as a server does, and leave no core dump of it either."""
    program = (
        "import ctypes, resource, click; from gerbang_service.cli.folder import works_on_files\n"
        "@click.command()\n@works_on_files\ndef command(output):\n"
        "    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))\n"
        "    return 0\ncommand()"
    )
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "0 (0, 0)"


def test_new_folder_without_a_key_is_refused_with_both_ways_out(data: Path) -> None:
    """One sentence names `gerbang key create` with --key-file, and --no-encryption; nothing was created."""
    said = refusal(data, env=NO_KEY)
    assert "gerbang key create" in said
    assert "--key-file" in said
    assert "--no-encryption" in said
    assert not data.exists()


def test_wrong_key_is_refused_and_both_are_named(data: Path, tmp_path: Path) -> None:
    """A folder that needs one key is not served with another, nor with none, nor in the clear."""
    key, other = create_key_file(tmp_path / "one.key"), create_key_file(tmp_path / "other.key")
    RunningServer(data, *TEMPLATES, "--key-file", str(tmp_path / "one.key")).stop()
    said = refusal(data, "--key-file", str(tmp_path / "other.key"))
    assert f"needs key {key.id}, the one given is {other.id}" in said
    assert key.id in refusal(data, "--workers", "2", "--key-file", str(tmp_path / "other.key"))
    assert f"needs key {key.id}" in refusal(data, env=NO_KEY)
    assert f"needs key {key.id}" in refusal(data, "--no-encryption")
    RunningServer(data, *TEMPLATES, "--workers", "2", "--key-file", str(tmp_path / "one.key"), env=NO_KEY).stop()


def test_folder_in_the_clear_is_not_encrypted_by_the_way(data: Path) -> None:
    """Faces in the clear are served with --no-encryption only, or after `gerbang key encrypt`, which is named."""
    with RunningServer(data, *TEMPLATES, "--no-encryption") as running, WatchlistClient(running.address) as office:
        enrol(office, 1)
    assert "gerbang key encrypt" in refusal(data)
    assert "gerbang key encrypt" in refusal(data, env=NO_KEY)
    RunningServer(data, *TEMPLATES, "--no-encryption").stop()


def change(data: Path, *statements: str) -> None:
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        for each in statements:
            connection.execute(each)
        connection.commit()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE templates SET vector = zeroblob(284) WHERE template_id = 2", "template 2 of subject person-2"),
        ("UPDATE templates SET subject_key = 3 - subject_key", "template 1 of subject person-2"),
        ("UPDATE meta SET value = 1 WHERE key = 'revision'", "revision"),
    ],
)
def test_what_was_tampered_with_is_not_served(data: Path, statement: str, named: str) -> None:
    """A vector that was changed, cut or swapped, a label or row of another: the start is refused, and whose is said."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        enrol(office, 1, 2)
    change(data, statement)
    said = refusal(data)
    assert named in said
    assert "damaged or tampered with" in said
    assert secret(2) not in said
    found = gerbang("check", "--data", data)
    assert found.returncode == 1, found
    assert named in found.stdout


def test_key_is_in_no_file_and_no_log(data: Path) -> None:
    """Neither the operator's key nor its bytes are anywhere in the data folder or in what the server says."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        enrol(office, 1)
    assert not traces(data, KEY.encode(), bytes(range(32)))
    assert not traces(data.parent / f"{data.name}.stderr", KEY.encode(), bytes(range(32)))
