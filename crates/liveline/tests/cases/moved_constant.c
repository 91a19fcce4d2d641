//# strict
//# before: 3 30
//# after: 5 51
//# verdict: table const-data
//# note: are not equal to new ones
//# opt: O0,O2
// A table moves to another file and says something else: it comes along with all its readers, one of them in a file that does not change.
#include <stdio.h>
#include "case.h"

struct entry { int (*step)(int); int more; };
extern const struct entry table[2];
int pick(int at, int x);

#ifdef V2
static int one(int x) { return x + 2; }
static int ten(int x) { return x * 10 + 1; }
const struct entry table[2] = {{one, 2}, {ten, 20}};
#endif
KEEP int direct(int x) { return table[0].step(x) + table[0].more - 2; }
void answer(char *out, unsigned long room) { snprintf(out, room, "%d %d", direct(3), pick(1, 3) + table[1].more); }
//# file: b.c
struct entry { int (*step)(int); int more; };
#ifndef V2
static int one(int x) { return x + 1; }
static int ten(int x) { return x * 10; }
const struct entry table[2] = {{one, 1}, {ten, 0}};
#endif
long unused_otherwise;
//# file: c.c
struct entry { int (*step)(int); int more; };
extern const struct entry table[2];
__attribute__((noinline)) int pick(int at, int x) { return table[at].step(x); }
