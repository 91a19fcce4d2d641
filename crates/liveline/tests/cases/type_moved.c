//# compilers: gcc,clang
//# opt: O0,O2
//# refused: is at offset
// A member moves; the size stays.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

#ifdef V2
struct conn { int port; int id; };
#else
struct conn { int id; int port; };
#endif

static struct conn *all;

KEEP struct conn *first(void) {
    if (!all) all = calloc(1, sizeof *all);
    return all;
}

KEEP int value(struct conn *c) {
#ifdef V2
    return c->id + 2;
#else
    return c->id + 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(first())); }
