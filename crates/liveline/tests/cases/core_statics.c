//# matrix
//# strict
//# before: first 11 second 22 shared 33
//# after: first 111 second 22 shared 44
// Statics of the same name in two files: only the first file's code changes, each keeps its own data.
#include <stdio.h>
#include "case.h"

static int value = 11;
int second(void);
extern int shared_value;

static KEEP int get(void) {
#ifdef V2
    return value + 100;
#else
    return value;
#endif
}

static KEEP int get_shared(void) {
#ifdef V2
    return shared_value + value;
#else
    return shared_value;
#endif
}

KEEP void answer(char *out, unsigned long room) {
    snprintf(out, room, "first %d second %d shared %d", get(), second(), get_shared());
}
//# file: b.c
#include "case.h"

static volatile int value = 22;
int shared_value = 33;

static KEEP int get(void) { return value; }

int second(void) { return get(); }
