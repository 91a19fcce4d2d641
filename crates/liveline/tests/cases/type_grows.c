//# compilers: gcc,clang
//# opt: O0,O2
//# refused: struct conn
// A structure of which objects live on the heap gets a member.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

#ifdef V2
struct conn { struct conn *next; int id; long deadline; };
#else
struct conn { struct conn *next; int id; };
#endif

static struct conn *all;

KEEP struct conn *first(void) {
    if (!all) all = calloc(1, sizeof *all);
    return all;
}

KEEP int value(struct conn *c) {
#ifdef V2
    return c->id + 2 + (c->deadline != 0);
#else
    return c->id + 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(first())); }
