//# cc: -D_FORTIFY_SOURCE=2
//# modes: pie,nopie,shared
//# strict
//# before: one
//# after: one and two
// Checked variants of libc functions, some of them imported for the first time.
#include <stdio.h>
#include <string.h>
#include "case.h"

KEEP void compose(char *out, unsigned long room, const char *text) {
#ifdef V2
    char copy[64];
    strcpy(copy, text);
    strcat(copy, " and two");
    snprintf(out, room, "%s", copy);
#else
    snprintf(out, room, "%s", text);
#endif
}

KEEP void answer(char *out, unsigned long room) {
    const char *volatile text = "one";
    compose(out, room, text);
}
