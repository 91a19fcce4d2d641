//# refused: struct Shape: slot 0 of its vtable was Shape::area(int) const and is Shape::area(double) const
//# opt: O0,O2
// A virtual function takes another type: old code calls it as it knew it.
#include <cstdio>
#include "case.h"

struct Shape {
#ifdef V2
    virtual int area(double scale) const { return (int)(2 * scale); }
#else
    virtual int area(int scale) const { return scale; }
#endif
};
KEEP Shape *make() { return new Shape; }
KEEP int area(const Shape *shape) { return shape->area(3); }
void answer(char *out, unsigned long room) {
    static Shape *shape = make();
    snprintf(out, room, "%d", area(shape));
}
