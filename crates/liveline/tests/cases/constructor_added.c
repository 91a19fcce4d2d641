//# nothing
//# verdict: prepare data-value
// A constructor of an object that has started: it would run when a program starts.
#include <stdio.h>
#include "case.h"
static volatile long ready;
#ifdef V2
__attribute__((constructor)) static void prepare(void) { ready = 40; }
#endif
void answer(char *out, unsigned long room) { snprintf(out, room, "%ld", ready); }
