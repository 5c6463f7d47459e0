"""Every call of every contract: ``locust -f loadtest/every_call.py --headless -u 17 -r 17 -t 20s --host HOST:50051``.
Name users to have only these: ``locust -f loadtest/every_call.py EncodingUser OpenAiUser ...``."""

from attendant_loadtest.calls import limits, options  # noqa: F401 - flags, what is refused, and when a run ends
from attendant_loadtest.calls.everybody import *  # noqa: F403 - Locust takes the users that a file has
