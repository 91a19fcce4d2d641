//# cc: -fexceptions
//# opt: O0,O2
//# either
//# strict
//# before: 1 of 3
//# after: 2 of 5
// Unwind tables with a personality and language-specific data, from a cleanup attribute.
#include <stdio.h>
#include "case.h"

static __thread int cleaned;
static KEEP void clean(int *value) { cleaned += *value; }

KEEP int work(int (*call)(char *, const char *)) {
    char line[16];
    int one __attribute__((cleanup(clean))) = 1;
#ifdef V2
    int two __attribute__((cleanup(clean))) = 1;
    return call(line, "hello");
#else
    return call(line, "abc");
#endif
}

static KEEP int print(char *out, const char *text) { return sprintf(out, "%s", text); }

KEEP void answer(char *out, unsigned long room) {
    cleaned = 0;
    int length = work(print);
    snprintf(out, room, "%d of %d", cleaned, length);
}
