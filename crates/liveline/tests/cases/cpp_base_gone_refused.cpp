//# refused: its layout changed: base class Shape at offset 0 is gone
//# opt: O0,O2
// A class loses its base, and with it the place of its vtable.
#include <cstdio>
#include "case.h"

struct Shape {
    virtual ~Shape() {}
    virtual int area() const { return 1; }
};
#ifdef V2
struct Circle {
    int area() const { return radius; }
#else
struct Circle : Shape {
    int area() const override { return radius; }
#endif
    int radius = 2;
};
KEEP Circle *make() { return new Circle; }
KEEP int radius(const Circle *circle) { return circle->radius; }
void answer(char *out, unsigned long room) {
    static Circle *circle = make();
    snprintf(out, room, "%d", radius(circle));
}
