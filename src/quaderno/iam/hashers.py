"""How secrets that are not passwords are stored."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class ClientSecretHasher(PBKDF2PasswordHasher):
    """For generated client secrets of 32 random bytes, which no amount of guessing finds.

    Stretching would only slow down each token request, and let anybody keep the machine busy.
    """

    algorithm = "pbkdf2_sha256_client"
    iterations = 1
