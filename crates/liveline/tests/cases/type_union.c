//# compilers: gcc,clang
//# opt: O0,O2
//# refused: union value
// A union is read as something else.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

#ifdef V2
union value { int number; float text; }; struct conn { union value v; };
#else
union value { int number; char text[4]; }; struct conn { union value v; };
#endif

static struct conn *all;

KEEP struct conn *first(void) {
    if (!all) all = calloc(1, sizeof *all);
    return all;
}

KEEP int value(struct conn *c) {
#ifdef V2
    return c->v.number + 2;
#else
    return c->v.number + 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(first())); }
