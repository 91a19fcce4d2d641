//# strict
//# before: 14
//# after: 16
//# opt: O0,O2
// `sum` moves to another file as it is: the running one serves.
#include <stdio.h>
#include "case.h"

#ifdef V2
KEEP long sum(long x) { return x * 2; }
#else
long sum(long x);
#endif
KEEP long twice(long x) {
#ifdef V2
    return sum(x) + sum(x + 2);
#else
    return sum(x) + sum(x + 1);
#endif
}
void answer(char *out, unsigned long room) { snprintf(out, room, "%ld", twice(3)); }
//# file: b.c
#ifndef V2
__attribute__((noinline)) long sum(long x) { return x * 2; }
#endif
long unused_otherwise;
