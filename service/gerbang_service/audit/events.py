"""Events of the log itself: what they mean to who verifies it."""

from __future__ import annotations

from typing import Final

FILE: Final = "file"
"""The first record of each file: of which log it is, which number it has, and how the file before ends."""
WORKERS: Final = "workers"
"""Where the logs of all workers, and that of commands, end, in that of the server: `heads`, SEQUENCE:HASH by name."""
EXPIRED_ERASED: Final = "expired_erased"
"""A subject was erased, so long after it had expired as the settings say."""
PROPOSAL_ENDED: Final = "proposal_ended"
"""A change that was proposed was not confirmed in time, and is not made."""
COMMAND: Final = "command"
"""In the log of commands: one was begun, or done, or has failed."""
STORE_BEHIND: Final = "store_behind"
"""The database was older than the log: the revisions above its own are given once more."""

TOLD: Final = {
    "begun": "the log was begun when changes had been made already, of which it has no record:",
    "torn_line": "a kill left a line unfinished, which was moved aside:",
    "key_begun": "the log has a key from here on",
    "without_record": "changes without a record, by a kill between the two, or because it was cut off with its head:",
    STORE_BEHIND: "the database was older than the log, as after a restore, and that was accepted:",
    "resumed": "the log could not be written for a time:",
}
"""What an auditor has to know, and is no break."""

FOUND_AT_START: Final = {
    "records_missing": "that records were missing:",
    "head_missing": "no head file",
    "head_invalid": "a head file that was not the log's",
    "unreadable": "lines that are no records:",
    "other_key": "records of another key",
    "other_log": "a file of another log:",
    "unkeyed": "records without a code of the key, which are not of before encryption",
}
"""What no crash explains: the log is broken for good."""
