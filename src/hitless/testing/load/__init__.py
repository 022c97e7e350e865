"""An open-loop load client that counts what users would have felt.

    with Load(Profile(url="http://127.0.0.1:8080", get=("/",), post=("/orders",))) as load:
        ...                            # change the system
        print(load.report().failed)  # at any moment
    report = load.report()

Requests are sent at fixed moments, whatever the answers do; latency counts from the moment at which a request was due.
"""

from hitless.testing.load.profile import Profile
from hitless.testing.load.report import Report
from hitless.testing.load.run import Load

__all__ = ["Load", "Profile", "Report"]
