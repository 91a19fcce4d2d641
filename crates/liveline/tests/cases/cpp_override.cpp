//# stateful
//# opt: O0,O2
//# before: old 1 new 1
//# reverted: old 1 new 1
//# after: old 1 new 9
//# note: Circle::area() const is new at slot 2 of its vtable: objects made before the update go on without it
// A class overrides what it inherited: objects made from now on do so.
#include <cstdio>
#include "case.h"

struct Shape {
    virtual ~Shape() {}
    virtual int area() const;
};
KEEP int Shape::area() const { return 1; }
struct Circle : Shape {
    int radius = 9;
#ifdef V2
    int area() const override;
#endif
};
#ifdef V2
KEEP int Circle::area() const { return radius; }
#endif
KEEP Shape *make() { return new Circle; }
KEEP int area(const Shape *shape) { return shape->area(); }
static Shape *kept;
void answer(char *out, unsigned long room) {
    Shape *first = __atomic_load_n(&kept, __ATOMIC_ACQUIRE);
    if (!first) {
        first = make();
        kept = first;
    }
    Shape *fresh = make();
    snprintf(out, room, "old %d new %d", area(first), area(fresh));
    delete fresh;
}
