//# refused: it came here from
// A function takes the place of one that was defined weakly.
#include <stdio.h>
#include "case.h"
long plan(long x);
void answer(char *out, unsigned long room) { snprintf(out, room, "%ld", plan(3)); }
//# file: b.c
__attribute__((weak)) long plan(long x) { return x + 1; }
//# file: c.c
#ifdef V2
long plan(long x) { return x + 900; }
#endif
long unused_otherwise;
