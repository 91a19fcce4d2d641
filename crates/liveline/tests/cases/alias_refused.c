//# refused: stood for
// A name comes to stand for another function, of which nothing else differs.
#include <stdio.h>
#include "case.h"
long plan(long x);
KEEP long first(long x) { return x + 1; }
KEEP long second(long x) { return x + 2; }
#ifdef V2
long plan(long x) __attribute__((alias("second")));
#else
long plan(long x) __attribute__((alias("first")));
#endif
void answer(char *out, unsigned long room) { snprintf(out, room, "%ld", plan(3)); }
