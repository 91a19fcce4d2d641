//# matrix
//# before: circle 3 is shape none cast 1
//# after: circle 30 is square 16 cast 1
//# strict
// Virtual calls and dynamic_cast across old and new code; a new class with its vtable comes along.
#include <cstdio>
#include <memory>
#include <typeinfo>
#include "case.h"

struct Shape {
    virtual ~Shape() {}
    virtual int area() const = 0;
    virtual const char *name() const { return "shape"; }
};
struct Circle : Shape {
    int radius;
    explicit Circle(int radius) : radius(radius) {}
    int area() const override;
    const char *name() const override;
};
KEEP int Circle::area() const {
#ifdef V2
    return radius * 10;
#else
    return radius > 100 ? 100 : radius;
#endif
}
KEEP const char *Circle::name() const { return "circle"; }

#ifdef V2
struct Square : Shape {
    int side;
    explicit Square(int side) : side(side) {}
    int area() const override { return side * side; }
    const char *name() const override { return "square"; }
};
#endif

// Stays: calls through the vtable of classes it does not know.
KEEP int area_of(const Shape *shape) { return shape->area(); }

KEEP void second(char *out, unsigned long room) {
#ifdef V2
    std::unique_ptr<Shape> shape(new Square(4));
    const Shape &one = *shape;
    if (dynamic_cast<const Circle *>(shape.get()) || typeid(one) == typeid(Circle)) {
        snprintf(out, room, "mistaken");
        return;
    }
    snprintf(out, room, "%s %d", shape->name(), area_of(shape.get()));
#else
    snprintf(out, room, "shape none");
#endif
}

KEEP Shape *make() { return new Circle(3); }

void answer(char *out, unsigned long room) {
    std::unique_ptr<Shape> circle(make());
    char rest[64];
    second(rest, sizeof rest);
    snprintf(out, room, "%s %d is %s cast %d", circle->name(), area_of(circle.get()), rest,
             dynamic_cast<Circle *>(circle.get()) != nullptr);
}
