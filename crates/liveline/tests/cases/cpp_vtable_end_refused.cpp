//# refused: class geometry::Shape: slot 3 of its vtable is new, geometry::Shape::sides() const
//# opt: O0,O2
// A virtual function is put in behind the last one: new code would call beyond the end of old vtables.
#include <cstdio>
#include "case.h"

namespace geometry {
class Shape {
public:
    virtual ~Shape() {}
    virtual int area() const { return 1; }
#ifdef V2
    virtual int sides() const { return 4; }
#endif
};
}
KEEP geometry::Shape *make() { return new geometry::Shape; }
KEEP int area(const geometry::Shape *shape) {
#ifdef V2
    return shape->area() + shape->sides();
#else
    return shape->area();
#endif
}
void answer(char *out, unsigned long room) {
    static geometry::Shape *shape = make();
    snprintf(out, room, "%d", area(shape));
}
