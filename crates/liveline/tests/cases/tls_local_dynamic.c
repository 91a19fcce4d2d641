//# compilers: gcc,clang
//# opt: O0,O2
//# modes: shared,dlopen
//# cc: -ftls-model=local-dynamic -fvisibility=hidden
//# strict
//# before: shown 7 zeroed 1 local 8
//# after: shown 70 zeroed 11 local 88
// Thread-locals that exist, in the local-dynamic model.
#include <stdio.h>
#include "case.h"

extern __thread int shown;
extern __thread int zeroed;
static __thread int local = 8;

KEEP int read_shown(void) {
#ifdef V2
    return shown * 10;
#else
    return shown;
#endif
}

KEEP int read_zeroed(void) {
    int value = ++zeroed;
    zeroed--;
#ifdef V2
    value += 10;
#endif
    return value;
}

KEEP int read_local(void) {
    int *volatile place = &local;
#ifdef V2
    return *place * 11;
#else
    return *place;
#endif
}

KEEP void answer(char *out, unsigned long room) {
    snprintf(out, room, "shown %d zeroed %d local %d", read_shown(), read_zeroed(), read_local());
}
//# file: b.c
__thread int shown = 7;
__thread int zeroed;
