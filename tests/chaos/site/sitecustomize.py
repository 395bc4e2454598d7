"""On the path of a run's workers: what makes a lying clock bearable, and a wait of minutes short."""

import os
import threading
import time

if os.environ.get("FAKETIME_TIMESTAMP_FILE"):

    def _sleep(seconds: float) -> None:
        threading.Event().wait(seconds)

    # Python sleeps until a moment of the monotonic clock; libfaketime 0.9.10 answers that with EINVAL when told not to
    # fake that clock.
    time.sleep = _sleep

if os.environ.get("CHAOS_LOST_CREATE_S"):
    from batchrouter.engine.settings import EngineSettings

    # A worker that died while it made a native job leaves nobody who knows whether it is there: three minutes of
    # silence prove that it is not. Upstreams here tell at once what they have.
    EngineSettings.__init__.__kwdefaults__["lost_create_s"] = float(os.environ["CHAOS_LOST_CREATE_S"])
