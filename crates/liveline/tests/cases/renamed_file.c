//# strict
//# before: 7
//# after: 16
// A source file gets another name, and a static function of it is repaired.
#include <stdio.h>
#include "case.h"
long sum(long x);
void answer(char *out, unsigned long room) { snprintf(out, room, "%ld", sum(3)); }
//# old-file: b.c
static __attribute__((noinline)) long twice(long x) { return x * 2; }
__attribute__((noinline)) long sum(long x) { return twice(x) + 1; }
//# new-file: c.c
static __attribute__((noinline)) long twice(long x) { return x * 5; }
__attribute__((noinline)) long sum(long x) { return twice(x) + 1; }
