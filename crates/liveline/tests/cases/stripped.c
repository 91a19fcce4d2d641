//# modes: pie,nopie,static,shared
//# strip
//# strict
//# before: 4 of 3
//# after: 24 of 3
// A stripped target; its symbols come from the unstripped twin.
#include <stdio.h>
#include "case.h"

static volatile int base = 3;

static KEEP int concealed(int value) {
#ifdef V2
    return value * 8 + printf("%.*s", 0, "x");
#else
    return value + 1 + printf("%.*s", 0, "x");
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d of %d", concealed(base), base); }
