//# opt: O0,O2
//# refused: struct shared
// A file begins to use a structure that only another file used, and that changed.
#include <stdio.h>
#include "case.h"
#include "shared.h"

void *keep(void);

KEEP int value(void) {
#ifdef V2
    struct shared *s = keep();
    return s->id + 2;
#else
    return keep() != 0;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value()); }
//# file: b.c
#include <stdlib.h>
#include "shared.h"

static struct shared *all;

__attribute__((noinline)) void *keep(void) {
    if (!all) all = calloc(1, 64);
    return all;
}
//# text-file: shared.h
struct shared {
#ifdef V2
    long more;
#endif
    int id;
};
