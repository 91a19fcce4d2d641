//# compilers: gcc,clang
//# opt: O0,O2
//# strict
//# note: HALF is new
//# before: 1
//# after: 2
// A value is new behind the others: no object has it.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

#ifdef V2
enum state { OPEN, CLOSED, HALF }; struct conn { enum state state; };
#else
enum state { OPEN, CLOSED }; struct conn { enum state state; };
#endif

static struct conn *all;

KEEP struct conn *first(void) {
    if (!all) all = calloc(1, sizeof *all);
    return all;
}

KEEP int value(struct conn *c) {
#ifdef V2
    return c->state == HALF ? 9 : c->state + 2;
#else
    return c->state + 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(first())); }
