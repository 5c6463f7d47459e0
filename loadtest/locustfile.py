"""locust -f loadtest/locustfile.py --headless -u 8 -r 8 -t 20s --host 127.0.0.1:50051"""

from attendant_loadtest.users import GenerateUser

__all__ = ["GenerateUser"]
