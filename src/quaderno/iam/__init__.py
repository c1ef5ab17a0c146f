"""The embedded identity provider: a Django project on django-allauth's OpenID Connect provider.

It owns people's accounts and groups and nothing else. The rest of Quaderno knows it by its
issuer URL only, as it would know an external provider; `component` says how to run it.
"""
