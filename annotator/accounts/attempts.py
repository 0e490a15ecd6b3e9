"""How often somebody may guess a password: counted in the database, before the password is looked at.

Two counts: a name from an address, and an address whatever the name. Who knows the password and was not locked out
clears the first. A locked-out person waits until the window is over; their open sessions and tokens go on working.
"""

import hashlib
import ipaddress

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone

from .models import SignInAttempts

logger = structlog.get_logger("annotator.sign-in")


def client_address(request: HttpRequest) -> str:
    """Where the request came from: the connection's address, or what the outermost proxy of ours saw
    (settings.TRUSTED_PROXIES). Of IPv6 the /64, which one household or attacker has whole."""
    hops = settings.TRUSTED_PROXIES
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")
    text = forwarded[-hops].strip() if 0 < hops <= len(forwarded) else request.META.get("REMOTE_ADDR", "")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text[:64]
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else text


def allowed(request: HttpRequest, username: str) -> bool:
    """Count one attempt to sign in and say whether it may be made. Safe against many at once."""
    address = client_address(request)
    by_name, by_address = _add(_key(address, username)), _add(_key(address))
    if by_name <= settings.SIGN_IN_ATTEMPTS and by_address <= settings.SIGN_IN_ATTEMPTS_OF_ADDRESS:
        return True
    logger.warning("sign-in refused", address=address, username=username[:150], attempts=by_name)
    return False


def forget(request: HttpRequest, username: str) -> None:
    """The password was right: this name starts again from this address, and the attempt does not count against the
    address, behind which a whole lab may sit. Clears what is over on the way."""
    address = client_address(request)
    SignInAttempts.objects.filter(key=_key(address, username)).delete()
    SignInAttempts.objects.filter(key=_key(address), count__gt=0).update(count=F("count") - 1)
    SignInAttempts.objects.filter(since__lt=timezone.now() - settings.SIGN_IN_WINDOW).delete()


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _add(key: str) -> int:
    """The number of attempts within the window, this one included; one statement, so none is missed."""
    table = SignInAttempts._meta.db_table
    over = f"{table}.since < statement_timestamp() - make_interval(secs => %s)"
    sql = (
        f"INSERT INTO {table} (key, count, since) VALUES (%s, 1, statement_timestamp())"  # noqa: S608
        f" ON CONFLICT (key) DO UPDATE SET count = CASE WHEN {over} THEN 1 ELSE {table}.count + 1 END,"
        f" since = CASE WHEN {over} THEN statement_timestamp() ELSE {table}.since END RETURNING count"
    )
    with connection.cursor() as cursor:
        seconds = settings.SIGN_IN_WINDOW.total_seconds()
        cursor.execute(sql, [key, seconds, seconds])
        return int(cursor.fetchone()[0])
