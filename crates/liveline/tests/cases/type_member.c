//# compilers: gcc,clang
//# opt: O0,O2
//# refused: was int
// A member is of another type of the same size.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

#ifdef V2
struct conn { int id; float port; };
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
