//# modes: static,static-pie
//# strict
//# before: costs 3
//# after: costs now 4
// The linker makes names of a static library local; what the old code called is known all the same.
#include <stdio.h>
#include "case.h"
KEEP void describe(char *out, int cost) {
#ifdef V2
    sprintf(out, "costs now %d", cost + 1);
#else
    sprintf(out, "costs %d", cost);
#endif
}
void answer(char *out, unsigned long room) { (void)room; describe(out, 3); }
