import pytest
pytestmark = pytest.mark.django_db
def test_world(world):
    from tests.contract.requests import requests_of
    for role in ("manager",):
        cs = list(requests_of(world, role))
        print(len(cs))
        for c in cs:
            if not c.route.is_admin: print(c.key, c.url)
