//# refused: found at the start that it was not
// What is used only if it is there comes to be there.
#include <stdio.h>
#include "case.h"
__attribute__((weak)) long plan(long x);
void answer(char *out, unsigned long room) { snprintf(out, room, "%ld", plan ? plan(3) : -1); }
//# file: b.c
#ifdef V2
long plan(long x) { return x + 900; }
#endif
long unused_otherwise;
