//# refused: its layout changed: virtual base class Shape is new
//# opt: O0,O2
// A base becomes a virtual one: it is found through the vtable now.
#include <cstdio>
#include "case.h"

struct Shape {
    int sides = 3;
};
#ifdef V2
struct Circle : virtual Shape {
#else
struct Circle : Shape {
#endif
    int radius = 2;
};
KEEP Circle *make() { return new Circle; }
KEEP int sides(const Circle *circle) { return circle->sides; }
void answer(char *out, unsigned long room) {
    static Circle *circle = make();
    snprintf(out, room, "%d", sides(circle));
}
