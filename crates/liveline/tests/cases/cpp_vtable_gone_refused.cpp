//# refused: struct Shape: slot 1 of its vtable, Shape::sides() const, is gone
//# opt: O0,O2
// A virtual function is gone: old code still calls it by its slot.
#include <cstdio>
#include "case.h"

struct Shape {
    virtual int area() const { return 1; }
#ifndef V2
    virtual int sides() const { return 4; }
#endif
};
KEEP Shape *make() { return new Shape; }
KEEP int area(const Shape *shape) {
#ifdef V2
    return shape->area() + 4;
#else
    return shape->area() + shape->sides();
#endif
}
void answer(char *out, unsigned long room) {
    static Shape *shape = make();
    snprintf(out, room, "%d", area(shape));
}
