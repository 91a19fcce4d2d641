"""A service that parses XML with the expat of Python, and says what it saw. One thread a connection."""
import ctypes
import socketserver
import sys
import xml.parsers.expat

expat = ctypes.CDLL("libexpat.so.1")
expat.XML_ParserCreate.restype = ctypes.c_void_p
expat.XML_ParserCreate.argtypes = [ctypes.c_char_p]
expat.XML_ExternalEntityParserCreate.restype = ctypes.c_void_p
expat.XML_ExternalEntityParserCreate.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
expat.XML_SetUnknownEncodingHandler.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
expat.XML_Parse.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
expat.XML_ParserFree.argtypes = [ctypes.c_void_p]


def handed_on():
    """What a parser of an external entity hands to the handler of unknown encodings that was given 4711."""
    seen = []
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)

    @kind
    def handler(data, name, information):
        seen.append(data)
        return 0

    parser = expat.XML_ParserCreate(None)
    expat.XML_SetUnknownEncodingHandler(parser, ctypes.cast(handler, ctypes.c_void_p), 4711)
    entity = expat.XML_ExternalEntityParserCreate(parser, b"", None)
    text = b'<?xml version="1.0" encoding="nobody-knows"?><a/>'
    expat.XML_Parse(entity, text, len(text), 1)
    expat.XML_ParserFree(entity)
    expat.XML_ParserFree(parser)
    return seen


def events(text):
    out = []
    parser = xml.parsers.expat.ParserCreate()
    parser.ordered_attributes = True
    parser.StartElementHandler = lambda name, pairs: out.append("(" + name + "".join("|" + p for p in pairs))
    parser.EndElementHandler = lambda name: out.append(")" + name)

    def text_of(data):
        # Text comes in pieces where the document does.
        if out and out[-1].startswith("'"):
            out[-1] += data
        else:
            out.append("'" + data)

    parser.CharacterDataHandler = text_of
    parser.CommentHandler = lambda data: out.append("#" + data)
    # In pieces, as it might come from a network.
    for at in range(0, len(text), 777):
        parser.Parse(text[at : at + 777], False)
    parser.Parse(b"", True)
    return "\n".join(out)


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            line = self.rfile.readline().decode().split()
            if not line:
                return
            if line[0] == "probe":
                answer = repr(handed_on())
            else:
                try:
                    answer = events(self.rfile.read(int(line[1])))
                except xml.parsers.expat.ExpatError as error:
                    answer = "error " + str(error)
            body = answer.encode()
            self.wfile.write(b"%d\n" % len(body) + body)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
