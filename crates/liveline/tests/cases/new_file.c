//# opt: O0,O2
//# modes: pie,shared
//# strict
//# before: alone
//# after: helped by 12 and 3
// The new build has a file that the old one had not.
#include <stdio.h>
#include "case.h"

#ifdef V2
int helper(int x);
extern int helper_calls;
#endif

KEEP void compose(char *out, unsigned long room) {
#ifdef V2
    snprintf(out, room, "helped by %d and %d", helper(4), helper_calls);
#else
    snprintf(out, room, "alone");
#endif
}

KEEP void answer(char *out, unsigned long room) { compose(out, room); }
//# new-file: helper.c
int helper_calls = 3;
static int factor(void) { return helper_calls; }
int helper(int x) { return x * factor(); }
