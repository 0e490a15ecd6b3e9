"""Cursor pages of the API: `{"next", "previous", "results"}`, stable at any depth."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request


class CursorPages(CursorPagination):
    """Newest-last by id: a page never shifts while rows are added."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
    ordering = "id"

    def decode_cursor(self, request: Request) -> Cursor | None:
        """As DRF does; a position that is no id (every list is ordered by id) is a wrong cursor, not a 500."""
        cursor: Any = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            position = str(cursor.position)
            if not (position.isascii() and position.isdecimal() and len(position) < 19):
                raise NotFound(_("The cursor is not one of ours."))
        return cursor
