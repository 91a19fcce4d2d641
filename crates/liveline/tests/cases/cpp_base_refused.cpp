//# refused: its layout changed: base class Counted is new at offset 8
//# opt: O0,O2
// A class gets another base.
#include <cstdio>
#include "case.h"

struct Shape {
    virtual ~Shape() {}
    virtual int area() const { return 1; }
};
struct Counted {
    int count = 7;
};
#ifdef V2
struct Circle : Shape, Counted {
#else
struct Circle : Shape {
#endif
    int radius = 2;
    int area() const override { return radius; }
};
KEEP Circle *make() { return new Circle; }
KEEP int area(const Circle *circle) {
#ifdef V2
    return circle->count + circle->radius;
#else
    return circle->radius;
#endif
}
void answer(char *out, unsigned long room) {
    static Circle *circle = make();
    static Counted counted;
    snprintf(out, room, "%d %d", area(circle), counted.count);
}
