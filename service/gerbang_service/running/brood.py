"""What the nursery has for the workers that are forked from it: a gallery that is up to date."""

from __future__ import annotations

import ctypes
import logging
import time

from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StoreUnavailable
from gerbang_service.gallery.candidates.one_thread import search_alone
from gerbang_service.running.failed import Failed
from gerbang_service.running.galleries import Inherited, fill, new_gallery
from gerbang_service.store.port import FellBehind
from gerbang_service.store.sqlite.onlooking import Onlooker
from gerbang_service.store.sqlite.vault import key_for

log = logging.getLogger(__name__)

# While the database can't be read, that is said so often, seconds.
_SAID_EVERY_S = 60.0


class Brood:
    """Begins no thread. Belongs to one."""

    def __init__(self, settings: Settings) -> None:
        """Raise StartupError when the data folder can't be read."""
        self._settings = settings
        key = key_for(settings.data, settings.key_file) if settings.encryption else None
        self._store = Onlooker(settings.data, key)
        self._said_at = -_SAID_EVERY_S
        self.inherited: Inherited | None = None
        """What workers are forked with; None while the folder is not made for any recogniser."""
        # OpenMP's threads can't be carried over.
        search_alone()

    def look(self) -> None:
        """Load what is stored, at first; then follow what was written.

        Raises StartupError when it can't be loaded, Failed when it can't be followed: another has to begin anew.
        """
        try:
            bound = self._store.model()
            if self.inherited is None:
                self.inherited = None if bound is None else self._loaded(*bound)
                return
            if bound == (self.inherited.model, self.inherited.dimension):
                self._store.follow(self.inherited.gallery, self.inherited.model)
                return
        except FellBehind as error:
            raise Failed(f"what workers wrote can't be followed: {error}") from error
        except StoreUnavailable as error:
            # Workers are forked all the same, and catch up before they serve.
            if time.monotonic() - self._said_at >= _SAID_EVERY_S:
                self._said_at = time.monotonic()
                log.error("what workers wrote can't be read: %s", error)  # noqa: TRY400 - the text says it all
            return
        raise Failed("the data folder is of another recogniser than when it was loaded")

    def let_go(self) -> None:
        """Have no file open."""
        self._store.let_go()

    def _loaded(self, model: str, dimension: int) -> Inherited:
        gallery = new_gallery(self._settings, dimension, self._store.template_count(model))
        chains = fill(gallery, self._store, model)
        # What the loading has left in free memory: of people, and not to be handed on.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        return Inherited(model, dimension, gallery, chains)
