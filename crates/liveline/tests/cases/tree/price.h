#ifndef PRICE_H
#define PRICE_H

#define DOUBLED(n) ((n) * 2)

int price(int count);
int price_calls(void);

#endif
