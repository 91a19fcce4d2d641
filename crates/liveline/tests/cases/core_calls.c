//# matrix
//# strict
//# before: sum 36 mean 2.50 long 1.25 pair 5/7 tail 12 many 55
//# after: sum 72 mean 5.00 long 2.75 pair 7/5 tail 13 many 56
// Variadic arguments, more than six arguments, floats, long doubles, structures by value, a tail call.
#include <stdarg.h>
#include <stdio.h>
#include "case.h"

#ifdef V2
#define FACTOR 2
#else
#define FACTOR 1
#endif

struct pair { long left, right; };
struct large { long field[9]; };

KEEP int sum(int count, ...) {
    va_list list;
    int total = 0;
    va_start(list, count);
    for (int i = 0; i < count; i++) total += va_arg(list, int);
    va_end(list);
    return total * FACTOR;
}

KEEP double mean(double a, float b, double c, float d) { return FACTOR * (a + b + c + d) / 4; }

KEEP long double stretch(long double x) {
#ifdef V2
    return x * 2.0L + 0.25L;
#else
    return x;
#endif
}

KEEP struct pair swap(struct pair in, struct large big) {
#ifdef V2
    return (struct pair){in.right + big.field[8], in.left};
#else
    return (struct pair){in.left + big.field[8], in.right};
#endif
}

KEEP int last(int x) { return x + 2; }
KEEP int tail(int x) {
#ifdef V2
    return last(x * 3 - 19);
#else
    return last(x * 3 - 20);
#endif
}

KEEP int many(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j) {
    return a + b + c + d + e + f + g + h + i + j + FACTOR - 1;
}

KEEP void answer(char *out, unsigned long room) {
    struct large big = {{0}};
    struct pair pair = swap((struct pair){5, 7}, big);
    snprintf(out, room, "sum %d mean %.2f long %.2Lf pair %ld/%ld tail %d many %d", sum(8, 1, 2, 3, 4, 5, 6, 7, 8),
             mean(1, 2, 3, 4), stretch(1.25L), pair.left, pair.right, tail(10),
             many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
}
