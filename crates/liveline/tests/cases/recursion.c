//# opt: O0,O2
//# modes: pie,static,shared
//# strict
//# before: 120 mutual 1
//# after: 240 mutual 11
// Functions that call themselves and each other, directly and by pointer.
#include <stdio.h>
#include "case.h"

KEEP long factorial(long n) {
    long (*volatile self)(long) = factorial;
#ifdef V2
    return n < 2 ? 2 : n * self(n - 1);
#else
    return n < 2 ? 1 : n * self(n - 1);
#endif
}

KEEP int odd(int n);
KEEP int even(int n) {
#ifdef V2
    return n == 0 ? 11 : odd(n - 1);
#else
    return n == 0 ? 1 : odd(n - 1);
#endif
}
KEEP int odd(int n) { return n == 0 ? 0 : even(n - 1); }

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%ld mutual %d", factorial(5), even(20)); }
