//# matrix
//# strict
//# before: mine 5 hidden 6
//# after: mine 50 hidden 66
// Thread-locals that exist, read and written by changed code; the model is the one the mode brings.
#include <stdio.h>
#include "case.h"

__thread int mine = 5;
static __thread int hidden = 6;
static __thread int scratch;

KEEP int read_mine(void) {
#ifdef V2
    scratch = mine * 10;
    return scratch;
#else
    scratch = mine;
    return scratch;
#endif
}

KEEP int read_hidden(void) {
#ifdef V2
    return hidden * 11;
#else
    return hidden;
#endif
}

KEEP void answer(char *out, unsigned long room) {
    snprintf(out, room, "mine %d hidden %d", read_mine(), read_hidden());
}
