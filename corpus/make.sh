#!/bin/sh
# Makes the seeds of the fuzzer anew: corpus/make.sh [path of liveline]. Needs gcc, binutils and a built liveline.
set -eu
cd "$(dirname "$0")"
liveline=$(realpath "${1:-../target/release/liveline}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p llp elf object archive eh_frame build/old build/new build/program
cp src/*.c src/*.s "$work"
seeds=$PWD
cd "$work"
flags='-Os -fPIE -ffunction-sections -fdata-sections -fcf-protection=none -fdebug-prefix-map='$work'=/src'
gcc $flags -g1 -c old.c -o old.o
gcc $flags -g1 -c new.c -o new.o
gcc -nostdlib -pie -Wl,-z,noseparate-code,--build-id=sha1,--hash-style=gnu old.o -o program
gcc -nostdlib -static -Wl,-z,noseparate-code,--build-id=none old.o -o fixed
gcc $flags -fPIC -shared -nostdlib -Wl,-z,noseparate-code,-soname,liba.so,--default-symver old.c -o liba.so
gcc $flags -nostdlib -pie -Wl,-z,noseparate-code new.c -o stripped -s
"$liveline" diff --old old.o --new new.o --target program --name seed --version 1 -o large.llp
gcc $flags -c old.c -o thin.o
gcc $flags -c new.c -o thin2.o
sed 's/a + 1;/a + 5;/' old.c > tiny.c
gcc $flags -g1 -c tiny.c -o tiny.o
"$liveline" diff --old old.o --new tiny.o --target program --name tiny --version 1.2 --requires seed@1 -o tiny.llp
mkdir members && cp thin.o members/a.o && gcc -Os -c frames.s -o members/a_long_name_of_a_member.o
ar rcD old.a members/a.o members/a_long_name_of_a_member.o
gcc -nostdlib -static -Wl,-Ttext=0x401000,--section-start=.eh_frame=0x402000 frames.s -o frames
objcopy -O binary --only-section=.eh_frame frames frames.bin
objcopy -O binary --only-section=.eh_frame fixed fixed.bin
# A table begins with the address it lies at and the address of the code, eight bytes each.
at() { readelf -SW "$1" | sed -n "s/.* \\$2 *PROGBITS *\\([0-9a-f]*\\).*/\\1/p"; }
for name in frames fixed; do
	perl -e 'print pack "Q<2", map hex, @ARGV' "$(at $name .eh_frame)" "$(at $name .text)" > "$seeds/eh_frame/$name"
	cat $name.bin >> "$seeds/eh_frame/$name"
done
cp large.llp tiny.llp "$seeds/llp"
cp program fixed liba.so stripped "$seeds/elf"
cp old.o new.o tiny.o thin.o thin2.o members/a_long_name_of_a_member.o "$seeds/object"
cp old.a "$seeds/archive"
# The first files of the three folders make a patch together.
ar rcD old-build.a old.o
mkdir member && cp tiny.o member/old.o && ar rcD new-build.a member/old.o
cp old.o old-build.a "$seeds/build/old"
cp new.o tiny.o new-build.a "$seeds/build/new"
cp program fixed "$seeds/build/program"
# System call filters: code, jump if true, jump if false, operand.
filter() { perl -e 'for (@ARGV) { my @f = map { hex } split /,/; print pack "SCCL", @f }' "$@"; }
mkdir -p "$seeds/filter"
filter 20,0,0,4 15,1,0,c000003e 6,0,0,80000000 20,0,0,0 35,0,1,40000000 6,0,0,50001 15,0,3,9 20,0,0,20 \
	45,0,1,4 6,0,0,50001 6,0,0,7fff0000 > "$seeds/filter/deny"
filter 0,0,0,10 2,0,0,3 1,0,0,7 4,0,0,5 14,0,0,2 24,0,0,3 34,0,0,3 3c,0,0,0 64,0,0,4 7c,0,0,0 7,0,0,0 87,0,0,0 \
	61,0,0,3 60,0,0,3 9c,0,0,0 84,0,0,0 a4,0,0,ff 5,0,0,1 6,0,0,0 80,0,0,0 16,0,0,0 > "$seeds/filter/arithmetic"
