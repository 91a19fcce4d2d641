//# compilers: gcc,clang
//# opt: O0,O2
//# refused: mode : 4
// A bit-field becomes wider.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

#ifdef V2
struct conn { unsigned mode : 4, other : 4; };
#else
struct conn { unsigned mode : 3, other : 5; };
#endif

static struct conn *all;

KEEP struct conn *first(void) {
    if (!all) all = calloc(1, sizeof *all);
    return all;
}

KEEP int value(struct conn *c) {
#ifdef V2
    return c->mode + 2;
#else
    return c->mode + 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(first())); }
