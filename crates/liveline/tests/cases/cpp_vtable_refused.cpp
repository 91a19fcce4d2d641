//# note: area(Shape const*)
//# refused: struct Shape: slot 2 of its vtable was Shape::area() const and is Shape::sides() const
//# opt: O0,O2
// A virtual function is put in before another: live objects point to the old vtable.
#include <cstdio>
#include "case.h"

struct Shape {
    virtual ~Shape() {}
#ifdef V2
    virtual int sides() const { return 4; }
#endif
    virtual int area() const { return 1; }
};
KEEP Shape *make() { return new Shape; }
KEEP int area(const Shape *shape) { return shape->area(); }
void answer(char *out, unsigned long room) {
    static Shape *shape = make();
    snprintf(out, room, "%d", area(shape));
}
