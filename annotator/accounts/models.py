"""People and their API tokens."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone


class User(AbstractUser):
    """A person. `language` is the interface language that they chose."""

    export_class = "internal"

    language = models.CharField(max_length=10, blank=True, choices=settings.LANGUAGES)


class SignInAttempts(models.Model):
    """Attempts to sign in since `since`; `key` is a hash of an address, or of an address and a name."""

    export_class = "internal"

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField()
    since = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.count} since {self.since:%H:%M}"


class ApiToken(models.Model):
    """`Authorization: Bearer <prefix>.<secret>`; only the secret's sha256 is stored."""

    export_class = "internal"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    prefix = models.CharField(max_length=12, unique=True)
    secret_sha256 = models.CharField(max_length=64)
    scopes = models.JSONField(default=list, help_text="Actions of the role table; empty means all the roles allow.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.prefix} ({self.user})"

    @property
    def live(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())
