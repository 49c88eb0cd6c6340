"""A multipart request, streamed part by part into a receipt: never whole in memory, never in a folder of the system."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, QueryDict, UnreadablePostError
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.request import Request

from apps.core.api.parsers import StrictJSONParser
from apps.core.errors import InvalidValueError, TooLargeError
from apps.imaging.services.receive import Incoming, Receipt

FIELD = "file"
_CHUNK_BYTES = 1 << 20
# Boundaries and headers of the parts beside the bytes of the files.
_ENVELOPE_BYTES = 1 << 20
_TAIL_BYTES = 512


class BrokenUploadError(InvalidValueError):
    """The body ended before its announced end: the connection broke, or the form is malformed."""

    code = "broken_upload"
    title = "The upload is incomplete"


class _Body:
    """The request's body, counted, with its last bytes remembered."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.count = 0
        self.tail = b""

    def read(self, size: int | None = None, /) -> bytes:
        data: bytes = self._request.read(-1 if size is None else size)
        self.count += len(data)
        self.tail = (self.tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        return data


class _ReceiptHandler(FileUploadHandler):
    """Hands the pieces of each file to the receipt."""

    chunk_size = _CHUNK_BYTES

    def __init__(self, open_receipt: Callable[[], Receipt]) -> None:
        super().__init__()
        self.open_receipt = open_receipt
        self.receipt: Receipt | None = None
        self.current: Incoming | None = None

    def new_file(self, field_name: str, file_name: str, content_type: str, *args: Any, **kwargs: Any) -> None:
        if field_name != FIELD:
            raise InvalidValueError(
                f"unknown field {field_name!r}; files are sent as `{FIELD}`", field=field_name[:100]
            )
        self.receipt = self.receipt or self.open_receipt()
        self.current = self.receipt.begin(file_name, content_type)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self.current is None:
            raise AssertionError("bytes came before the file they belong to")
        self.current.write(raw_data)

    def file_complete(self, file_size: int) -> None:
        if self.current is not None:
            self.current.finish()


class _Parser(MultiPartParser):
    """Django's parser, except that a name is refused by the receipt where it cannot stand, and never changed."""

    @property
    def fields_so_far(self) -> QueryDict:
        """The fields that stood before the part that is being read."""
        return self._post  # type: ignore[attr-defined]  # the stubs forget it

    def sanitize_file_name(self, file_name: str) -> str:
        return file_name


def receive_multipart(request: HttpRequest, receipt: Receipt) -> None:
    """Stream the files of a request into a receipt.

    Raises
    ------
    UnsupportedMediaType
        Not multipart/form-data.
    TooLargeError
        The announced length is over the limit; nothing was read.
    BrokenUploadError
        The client went away, or the closing boundary is missing.
    InvalidValueError
        A field that is no file, a refused name, too many parts.
    """
    fields, _ = _receive(request, lambda _: receipt)
    if fields:
        name = next(iter(fields))
        raise InvalidValueError(f"{name!r} is no file with a name; only `{FIELD}` is taken", field=name[:100])


def receive_form(
    request: HttpRequest, open_receipt: Callable[[QueryDict], Receipt], stack: ExitStack
) -> tuple[QueryDict, Receipt | None]:
    """Stream a form whose fields say what its files belong to.

    Parameters
    ----------
    open_receipt : callable
        Is given the fields that stood before the first file, and checks who may send it; files come after those fields.
    stack : ExitStack
        Ends the receipt, whatever ends the request.

    Returns
    -------
    QueryDict
        All fields.
    Receipt or None
        None where no file came.

    Raises
    ------
    CorrError, UnsupportedMediaType
        As for ``receive_multipart``, and what ``open_receipt`` refuses.
    """
    return _receive(request, lambda fields: stack.enter_context(open_receipt(fields)))


def _receive(request: HttpRequest, open_receipt: Callable[[QueryDict], Receipt]) -> tuple[QueryDict, Receipt | None]:
    if request.content_type != "multipart/form-data":
        raise UnsupportedMediaType(
            request.content_type or "none", detail="send multipart/form-data with `file` once or more"
        )
    length = _announced(request)
    body = _Body(request)
    stream: Any = body  # the parser reads it by `read` alone
    try:
        handler = _ReceiptHandler(lambda: open_receipt(parser.fields_so_far))
        parser = _Parser(request.META, stream, [handler], "utf-8")
        fields, _ = parser.parse()
    except MultiPartParserError as error:
        raise BrokenUploadError(f"the multipart form is malformed: {error}", field=FIELD) from error
    except UnreadablePostError as error:
        raise BrokenUploadError("the connection broke before the end of the upload", field=FIELD) from error
    except (TooManyFieldsSent, TooManyFilesSent, RequestDataTooBig) as error:
        raise InvalidValueError(
            f"one request may have {settings.DATA_UPLOAD_MAX_NUMBER_FILES} files and no large fields; send several",
            field=FIELD,
        ) from error
    _check_whole(request, body, length)
    return fields, handler.receipt


class UnreadUploads:
    """For views that take files: an upload's body stays unread until its sender is known and allowed.

    Checking a session's CSRF token looks for a form field first, and would so read the whole body into temporary files
    for anyone who holds a session.  An upload carries its token in the header ``X-CSRFToken``.
    """

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Say that the form has no fields, before anybody looks for them."""
        if request.content_type == "multipart/form-data":
            request._post = QueryDict()  # type: ignore[attr-defined]
        found: Request = super().initialize_request(request, *args, **kwargs)  # type: ignore[misc]
        return found


def form_values(fields: QueryDict, *, nested: Collection[str] = (), lists: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a form as a JSON body would have them.

    Parameters
    ----------
    fields : QueryDict
        Of a multipart form.
    nested : collection of str
        Fields that hold JSON.
    lists : collection of str
        Fields that are lists: given once as JSON, or once an entry.

    Raises
    ------
    InvalidValueError
        JSON that is none, or a field twice that is no list.
    """
    values: dict[str, Any] = {}
    for name, given in fields.lists():
        texts = [str(text) for text in given]
        if name in lists:
            values[name] = _parsed(name, texts[0]) if texts[0].startswith("[") and len(texts) == 1 else texts
        elif len(texts) > 1:
            raise InvalidValueError(f"{name[:100]!r} stands {len(texts)} times", field=name[:100])
        else:
            values[name] = _parsed(name, texts[0]) if name in nested else texts[0]
    return values


def _parsed(name: str, text: str) -> Any:
    try:
        return StrictJSONParser().parse(io.BytesIO(text.encode()))
    except ParseError as error:
        raise InvalidValueError(f"the field holds JSON in a form: {error.detail}", field=name) from error


def _announced(request: HttpRequest) -> int:
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length > settings.CORR_MAX_UPLOAD_BYTES + _ENVELOPE_BYTES:
        raise TooLargeError(
            f"the request has {length} bytes; {settings.CORR_MAX_UPLOAD_BYTES} are taken at once", field=FIELD
        )
    return length


def _check_whole(request: HttpRequest, body: _Body, length: int) -> None:
    """A body that broke off parses like a shorter one: only its length and its last boundary tell."""
    boundary = str(request.content_params.get("boundary", "")) if request.content_params else ""
    if body.count < length or f"--{boundary}--".encode() not in body.tail:
        raise BrokenUploadError(
            f"{body.count} of {length} bytes came, the closing boundary did not: the upload broke off", field=FIELD
        )
