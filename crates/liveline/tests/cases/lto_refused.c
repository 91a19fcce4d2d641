//# cc-objects: -flto
//# refused: LTO|-flto
// Objects made for link-time optimisation hold no code.
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
