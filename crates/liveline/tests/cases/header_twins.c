//# opt: O0,O2
//# modes: pie,shared
//# strict
//# before: 3 and 4
//# after: 30 and 40
// One static function of a header, compiled into two files: both copies change.
#include <stdio.h>
#include "case.h"
#define STEP 1
#include "twin.h"

int other(int x);

KEEP void answer(char *out, unsigned long room) {
    volatile int two = 2;
    snprintf(out, room, "%d and %d", twin(two), other(two));
}
//# file: b.c
#define NOINLINE __attribute__((noinline))
#define STEP 2
#include "twin.h"

NOINLINE int other(int x) { return twin(x); }
//# text-file: twin.h
static __attribute__((noinline)) int twin(int x) {
    static int calls;
    calls++;
#ifdef V2
    return (x + STEP) * 10;
#else
    return x + STEP;
#endif
}
