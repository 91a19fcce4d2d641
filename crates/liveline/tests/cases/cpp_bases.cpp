//# matrix
//# before: 5 named 5 as old virtual 3
//# after: 50 named 50 as new virtual 30
//# strict
// Several bases, and a virtual one: new code is called through thunks that adjust the object's address; a pointer to a
// member function is the same for old and new code.
#include <cstdio>
#include "case.h"

struct Shape {
    int sides = 1;
    virtual ~Shape() {}
    virtual int area() const = 0;
};
struct Named {
    const char *label = "named";
    virtual ~Named() {}
    virtual const char *name() const { return label; }
    virtual int size() const = 0;
};
struct Root {
    int value = 3;
    virtual ~Root() {}
    virtual int root() const { return value; }
};
struct Left : virtual Root {
    int left = 1;
};
struct Square : Shape, Named, Left {
    int side = 5;
    int area() const override;
    int size() const override;
    int root() const override;
    const char *kind() const;
};
#ifdef V2
KEEP int Square::area() const { return side > 1000 ? -1 : side * 10; }
KEEP int Square::size() const { return side > 1000 ? -1 : side * 10; }
KEEP int Square::root() const { return value > 1000 ? -1 : value * 10; }
KEEP const char *Square::kind() const { return "new"; }
#else
KEEP int Square::area() const { return side > 1000 ? -1 : side; }
KEEP int Square::size() const { return side > 1000 ? -1 : side; }
KEEP int Square::root() const { return value > 1000 ? -1 : value; }
KEEP const char *Square::kind() const { return "old"; }
#endif
KEEP Named *make() { return new Square; }
KEEP int area(const Shape *shape) { return shape->area(); }
KEEP int size(const Named *named) { return named->size(); }
KEEP int root(const Root *root) { return root->root(); }
typedef const char *(Square::*Kind)() const;
static Kind volatile kind = &Square::kind;

void answer(char *out, unsigned long room) {
    Named *named = make();
    Square *square = dynamic_cast<Square *>(named);
    Kind call = kind;
    snprintf(out, room, "%d %s %d as %s virtual %d", area(square), named->name(), size(named), (square->*call)(), root(square));
    delete named;
}
