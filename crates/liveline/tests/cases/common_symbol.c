//# cc: -fcommon
//# stateful
//# before: 1 1
//# after: 12 2
//# reverted: 3 3
// Tentative definitions in two files: one variable, which new code must share.
#include <stdio.h>
#include "case.h"

int shared_counter;
int read_counter(void);

KEEP int bump(void) {
#ifdef V2
    return ++shared_counter + 10;
#else
    return ++shared_counter;
#endif
}

KEEP void answer(char *out, unsigned long room) {
    int value = bump();
    snprintf(out, room, "%d %d", value, read_counter());
}
//# file: b.c
int shared_counter;
__attribute__((noinline)) int read_counter(void) { return shared_counter; }
