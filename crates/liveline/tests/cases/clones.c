//# opt: O2,O3
//# modes: pie,nopie
//# strict
//# before: isra 15 const 21 part 4 cold 6
//# after: isra 25 const 42 part 5 cold 8
// Functions that the compiler splits or specialises: .isra, .constprop, .part and .cold.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

struct wide { int a, b, c, d; };
volatile int zero;

static NOINLINE int isra(const struct wide *w) {
    int step = zero;
#ifdef V2
    return w->a + w->c + 10 + step;
#else
    return w->a + w->c + step;
#endif
}

static NOINLINE int constprop(int value, int factor) {
    int total = 0;
    for (int i = 0; i < factor; i++) total += value + zero;
#ifdef V2
    total *= 2;
#endif
    return total;
}

static int part(int *p) {
    if (!p) return zero;
    for (int i = 0; i < 3 + zero; i++) *p += zero + i;
#ifdef V2
    *p += 1;
#endif
    printf("%.*s", zero, "x");
    return *p;
}

KEEP int use_part_one(int *p) { return part(p); }
KEEP int use_part_two(int *p) { return part(p) + part(0); }

KEEP int cold(int x) {
    if (__builtin_expect(x < zero, 0)) {
        fprintf(stderr, "impossible %d\n", x);
        abort();
    }
#ifdef V2
    return x + 2 + zero;
#else
    return x + zero;
#endif
}

KEEP void answer(char *out, unsigned long room) {
    struct wide w = {5, 0, 10, 0};
    int value = 1, other = 1;
    use_part_two(&other);
    snprintf(out, room, "isra %d const %d part %d cold %d", isra(&w), constprop(3, 7), use_part_one(&value), cold(6));
}
