//# opt: O0,O2
//# nothing
// The same functions and data in another order.
#include <stdio.h>
#include "case.h"

#define ONE static int first = 1; KEEP int one(int key) { static int seen; seen += key; return seen + first; }
#define TWO static int second = 2; KEEP const char *two(int key) { static int seen; seen -= key; return seen + second ? "two" : "b"; }

#ifdef V2
TWO
ONE
#else
ONE
TWO
#endif

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%d %s", one(0), two(0)); }
