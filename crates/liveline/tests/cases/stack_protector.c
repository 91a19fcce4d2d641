//# cc-objects: -fstack-protector-all
//# cc-target: -fstack-protector-all
//# modes: pie,nopie,static,shared
//# opt: O0,O2
//# strict
//# before: 3
//# after: 9 tail
// A canary read through the thread pointer, and a checker that is imported.
#include <stdio.h>
#include <string.h>
#include "case.h"

// So that a static program has it.
__attribute__((used)) static char *(*volatile appends)(char *, const char *) = strcat;

KEEP void compose(char *out, unsigned long room, const char *text) {
    char copy[32];
#ifdef V2
    strcpy(copy, text);
    strcat(copy, " tail");
    snprintf(out, room, "%d%s", (int)strlen(copy) + 1, copy + 3);
#else
    strcpy(copy, text);
    snprintf(out, room, "%d", (int)strlen(copy));
#endif
}

KEEP void answer(char *out, unsigned long room) {
    const char *volatile text = "one";
    compose(out, room, text);
}
