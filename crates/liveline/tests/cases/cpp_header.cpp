//# opt: O0,O2,O3
//# modes: pie,nopie,shared
//# before: a 5 b 10 c 15
//# after: a 15 b 30 c 45
//# strict
// A fix in a header that three files include; in one of them the compiler may inline it.
#include <cstdio>
#include "case.h"
#include "shared.h"
int b(int);
int c(int);
void answer(char *out, unsigned long room) {
    snprintf(out, room, "a %d b %d c %d", Scale(5).by(1), b(5), c(5));
}
//# file: b.cpp
#include "shared.h"
int b(int x) { return Scale(x).by(x > 1000 ? 1 : 2); }
//# file: c.cpp
#include "shared.h"
__attribute__((flatten)) int c(int x) { return Scale(x).by(x > 1000 ? 4 : 3); }
//# text-file: shared.h
#pragma once
class Scale {
    int base;
public:
    explicit Scale(int base) : base(base) {}
    int by(int factor) const {
#ifdef V2
        return 3 * base * factor + (factor > 1000 ? -base : 0);
#else
        return base * factor + (factor > 1000 ? -base : 0);
#endif
    }
};
