"""A second user of libcrypto: computes, and answers to a line each on standard input."""
import ctypes
import hashlib
import ssl  # maps libssl and libcrypto
import sys

crypto = ctypes.CDLL("libcrypto.so.3")
crypto.OpenSSL_version.restype = ctypes.c_char_p
for line in sys.stdin:
    word = line.strip()
    if word == "version":
        print(crypto.OpenSSL_version(0).decode(), flush=True)
    elif word == "utf8":
        value = ctypes.c_ulong(0)
        print(crypto.UTF8_getc(b"\xf4\x90\x80\x80", 4, ctypes.byref(value)), flush=True)
    else:
        print(hashlib.sha256(word.encode()).hexdigest(), flush=True)
