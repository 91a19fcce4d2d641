"""A service that reads PDF with libpoppler and says what is on each page. One thread a connection."""
import ctypes
import socketserver
import sys

glib = ctypes.CDLL("libglib-2.0.so.0")
gobject = ctypes.CDLL("libgobject-2.0.so.0")
poppler = ctypes.CDLL("libpoppler-glib.so.8")
POINTER, TEXT, NUMBER = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int


def declare(library, name, result, *arguments):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


bytes_new = declare(glib, "g_bytes_new", POINTER, TEXT, ctypes.c_size_t)
bytes_unref = declare(glib, "g_bytes_unref", None, POINTER)
free = declare(glib, "g_free", None, POINTER)
clear_error = declare(glib, "g_clear_error", None, ctypes.POINTER(POINTER))
list_length = declare(glib, "g_list_length", ctypes.c_uint, POINTER)
unref = declare(gobject, "g_object_unref", None, POINTER)
open_document = declare(
    poppler, "poppler_document_new_from_bytes", POINTER, POINTER, TEXT, ctypes.POINTER(POINTER)
)
pages_of = declare(poppler, "poppler_document_get_n_pages", NUMBER, POINTER)
page_of = declare(poppler, "poppler_document_get_page", POINTER, POINTER, NUMBER)
text_of = declare(poppler, "poppler_page_get_text", POINTER, POINTER)
annotations_of = declare(poppler, "poppler_page_get_annot_mapping", POINTER, POINTER)
free_annotations = declare(poppler, "poppler_page_free_annot_mapping", None, POINTER)


def describe(page):
    text = text_of(page)
    word = ctypes.string_at(text).decode().strip()
    free(text)
    annotations = annotations_of(page)
    count = list_length(annotations)
    free_annotations(annotations)
    return "%s %d annotations" % (word, count)


def read(data):
    content = bytes_new(data, len(data))
    error = POINTER()
    document = open_document(content, None, ctypes.byref(error))
    bytes_unref(content)
    if not document:
        clear_error(ctypes.byref(error))
        return "no document"
    lines = []
    for number in range(pages_of(document)):
        page = page_of(document, number)
        lines.append("%d: %s" % (number + 1, describe(page) if page else "no page"))
        if page:
            unref(page)
    unref(document)
    return "\n".join(lines)


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            line = self.rfile.readline()
            if not line:
                return
            body = read(self.rfile.read(int(line))).encode()
            self.wfile.write(b"%d\n" % len(body) + body)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
