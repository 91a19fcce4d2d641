//# opt: O0,O2
//# modes: pie,shared,dlopen
//# before: 1 circle caught none
//# after: 2 circle caught ring 7
//# strict
// A class with a virtual base that only the patch has: old code finds its bases by dynamic_cast, catches it by its base, and
// destroys it through its vtable.
#include <cstdio>
#include <stdexcept>
#include <typeinfo>
#include "case.h"

static int destroyed;
struct Shape {
    virtual ~Shape() { __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED); }
    virtual int area() const { return 1; }
};
struct Named {
    virtual ~Named() {}
    virtual const char *name() const { return "circle"; }
};
struct Circle : virtual Shape, Named {};
#ifdef V2
struct Ring : Circle, std::runtime_error {
    int hole = 7;
    Ring() : std::runtime_error("ring") {}
    int area() const override { return 2; }
};
#endif
KEEP Shape *make() {
#ifdef V2
    return new Ring;
#else
    return new Circle;
#endif
}
KEEP void raise() {
#ifdef V2
    throw Ring();
#endif
}
// Stays.
KEEP void caught(char *out, unsigned long room) {
    try {
        raise();
        snprintf(out, room, "none");
    } catch (const std::exception &error) {
        const Shape *shape = dynamic_cast<const Shape *>(&error);
        snprintf(out, room, "%s %d", error.what(), shape ? shape->area() + 5 : 0);
    }
}
void answer(char *out, unsigned long room) {
    char text[64];
    Shape *shape = make();
    Named *named = dynamic_cast<Named *>(shape);
    caught(text, sizeof text);
    snprintf(out, room, "%d %s caught %s", shape->area(), named ? named->name() : "nameless", text);
    delete shape;
}
