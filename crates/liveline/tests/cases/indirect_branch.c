//# compilers: gcc
//# cc: -fno-plt
//# modes: pie,shared
//# opt: O2
//# strict
//# before: 5
//# after: 10 3
// Calls through the global offset table, which the linker relaxes where it can.
#include <stdio.h>
#include <string.h>
#include "case.h"

int other(int x);

KEEP void compose(char *out, unsigned long room, const char *text) {
#ifdef V2
    snprintf(out, room, "%d %d", (int)strlen(text) * 2, other(1));
#else
    snprintf(out, room, "%d%.0d", (int)strlen(text), other(1) * 0);
#endif
}

KEEP void answer(char *out, unsigned long room) {
    const char *volatile text = "hello";
    compose(out, room, text);
}
//# file: b.c
__attribute__((noinline)) int other(int x) { return x + 2; }
