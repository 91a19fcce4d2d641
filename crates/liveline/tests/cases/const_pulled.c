//# opt: O0,O2
//# modes: pie,nopie,shared
//# before: sum 6 third 3 other 9
//# after: sum 66 third 33 other 9
//# verdict: third pulled-in
// Only a constant table changes; the functions that read it must come along, the others must not.
#include <stdio.h>
#include "case.h"

#ifdef V2
static const int table[] = {11, 22, 33};
#else
static const int table[] = {1, 2, 3};
#endif

KEEP int third(const volatile int *unused) {
    const volatile int *view = table;
    (void)unused;
    return view[2];
}

KEEP int sum(void) {
    const volatile int *view = table;
    return view[0] + view[1] + view[2];
}

KEEP int other(void) { return 9; }

KEEP void answer(char *out, unsigned long room) {
    snprintf(out, room, "sum %d third %d other %d", sum(), third(0), other());
}
