//# opt: O0,O2
//# modes: pie,nopie,static,shared,dlopen
//# strict
//# before: 5 same
//# after: 10 same
// New code calls functions of another module that the program imports already.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "case.h"

KEEP int length(const char *text) {
    char *copy = strdup(text);
    int result = strlen(copy);
    free(copy);
#ifdef V2
    copy = strdup(text);
    result += strlen(copy);
    free(copy);
#endif
    return result;
}

KEEP const char *same(void) { return getpid() == getpid() ? "same" : "?"; }

KEEP void answer(char *out, unsigned long room) {
    const char *volatile text = "hello";
    snprintf(out, room, "%d %s", length(text), same());
}
