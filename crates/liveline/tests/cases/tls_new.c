//# modes: pie,shared
//# refused: thread-local|thread local
// A new thread-local has no room in threads that exist.
#include <stdio.h>
#include "case.h"

#ifdef V2
__thread int fresh = 3;
#endif

KEEP int value(void) {
#ifdef V2
    return ++fresh;
#else
    return 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value()); }
