//# compilers: gcc,clang
//# opt: O0,O2
//# diff: --assume; struct conn; --assume; struct nothing
//# note: assumed
//# note: no type of that name changed
//# before: 1
//# after: 2
// A person says that the new member is read from no old object; it is on the record.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

#ifdef V2
struct conn { long id; int a; int fresh; };
#else
struct conn { long id; int a; };
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
