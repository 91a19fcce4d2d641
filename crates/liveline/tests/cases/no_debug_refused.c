//# cc-objects: -g0
//# refused: -g|debug info
// Objects without debug information cannot be trusted about their types.
#include <stdio.h>
#include "case.h"

KEEP int value(void) {
#ifdef V2
    return 2;
#else
    return 1;
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d", value()); }
