//# compilers: gcc,clang
//# opt: O0,O2
//# refused: struct deep
// The structure that changed is behind pointers, arrays and typedefs.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

#ifdef V2
struct deep { long x; }; typedef struct deep deep_t; struct mid { deep_t *const *list[2]; }; struct conn { struct mid mid; int id; };
#else
struct deep { int x; }; typedef struct deep deep_t; struct mid { deep_t *const *list[2]; }; struct conn { struct mid mid; int id; };
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
