//# compilers: gcc,clang
//# opt: O0,O2
//# strict
//# before: 1
//# after: 2
// Members, the pointee and qualifiers get other names: the layout is as it was.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

#ifdef V2
typedef int number; struct other { number x; struct other *p; }; struct conn { struct other *next; const volatile number ident; struct conn *chain; };
#else
struct peer { int x; struct peer *p; }; struct conn { struct peer *next; int id; struct conn *list; };
#endif

static struct conn *all;

KEEP struct conn *first(void) {
    if (!all) all = calloc(1, sizeof *all);
    return all;
}

KEEP int value(struct conn *c) {
#ifdef V2
    return c->ident + 2;
#else
    return c->id + 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value(first())); }
