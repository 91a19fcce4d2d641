//# modes: static,static-pie
//# refused: getppid
// A static program has no other module to find a function in that was not linked.
#include <stdio.h>
#include <unistd.h>
#include "case.h"

KEEP int compose(void) {
#ifdef V2
    return getppid();
#else
    return 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", compose()); }
