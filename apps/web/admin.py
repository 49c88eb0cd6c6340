"""What other packages would put into the admin, taken out: their forms write rows past the services."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin

for foreign in (EmailAddress, SocialAccount, SocialApp, SocialToken):
    if admin.site.is_registered(foreign):
        admin.site.unregister(foreign)

admin.site.index_template = "web/admin_index.html"
