//# opt: O0,O2
//# modes: pie,nopie,shared,dlopen
//# strict
//# before: plain
//# after: found 3 span 2 copied hello
// New code calls IFUNCs of libc that the program never imported: their resolver must be run.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include "case.h"

KEEP void compose(char *out, unsigned long room, const char *text) {
#ifdef V2
    char copy[16] = "";
    const char *found = memchr(text, 'l', 5) ? (const char *)memrchr(text, 'l', 5) : text;
    stpcpy(copy, text);
    snprintf(out, room, "found %d span %d copied %s", (int)(found - text), (int)strspn(text, "eh"), copy);
#else
    snprintf(out, room, "plain%.0s", text);
#endif
}

KEEP void answer(char *out, unsigned long room) {
    const char *volatile text = "hello";
    compose(out, room, text);
}
