#!/bin/sh
# The example that embeds libtl, built through pkg-config against an installed libtl, as a stranger would.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
if ! command -v pkg-config >/dev/null || ! command -v make >/dev/null; then
    echo "1..0 # SKIP no pkg-config or make"
    exit 0
fi
"$draw" data 8 disc square || exit 99
root=$work/root
check "make install DESTDIR=" make -C "$TL_TEST_BUILD" install DESTDIR="$root"
pc=$(find "$root" -name libtl.pc)
libdir=${pc%/pkgconfig/libtl.pc}
PKG_CONFIG_SYSROOT_DIR=$root
PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_PATH
check "libtl.pc is found" pkg-config --exists libtl
[ "$(pkg-config --modversion libtl)" = "$("$tl" --version | cut -d' ' -f2)" ]; report $? "it has the program's version"
for page in man1/tl.1 man5/tl.ini.5 man3/libtl.3 man7/tl-backends.7; do
    check "$page is installed" sh -c "find '$root' -path '*/man/$page' | grep -q ."
done

mkdir embed
cp "$TL_TEST_SOURCE/examples/embed/finetune.c" "$TL_TEST_SOURCE/examples/embed/Makefile" embed
sanitizers=$(sed -n 's/^CFLAGS = //p' "$TL_TEST_BUILD/Makefile" | tr ' ' '\n' | grep '^-fsanitize' | tr '\n' ' ')
check "finetune is built" make -C embed CFLAGS="-std=c11 -Wall -Wextra -Werror $sanitizers"
[ "$(grep -c . embed/finetune.c)" -le 65 ]; report $? "in about 60 lines"
LD_LIBRARY_PATH=$libdir
export LD_LIBRARY_PATH
embed/finetune >out 2>err
[ $? -eq 2 ]; report $? "without operands it says how to use it"
embed/finetune nowhere weights.pth out.safetensors >out 2>err
[ $? -eq 1 ]; report $? "without data it fails"
says_like '^finetune: nowhere: '

# the real network on small images: random weights stand in for the pretrained ones
cat >weights.c <<'END'
#include <tl/tl.h>
int main(void)
{
    tl_context *context;
    tl_model_options options;
    tl_model *model;
    tl_model_options_init(&options, sizeof(options));
    options.arch = "resnet50";
    return tl_context_create(0, &context) || tl_model_create(context, &options, &model) ||
           tl_model_save(model, "weights.safetensors");
}
END
check "a program that writes weights" sh -c "\${CC:-cc} $sanitizers \$(pkg-config --cflags libtl) -o weights weights.c \$(pkg-config --libs libtl)"
check "writes them" env ASAN_OPTIONS=detect_leaks=0 ./weights
embed/finetune data weights.safetensors out.safetensors >out 2>err
[ $? -eq 0 ]; report $? "finetune trains"
[ "$(grep -c '^Epoch [0-9]*, Loss: ' out)" -eq 10 ]; report $? "ten epochs"
unset LD_LIBRARY_PATH
run 0 "tl reads what it wrote" eval out.safetensors data
run 0 "and knows its classes" inspect out.safetensors
prints 'network   resnet50 · 2 classes'

# pictures with masks, out of photographs
mkdir stamps
cp "$TL_TEST_SOURCE/examples/stamps/compose.c" "$TL_TEST_SOURCE/examples/stamps/Makefile" stamps
check "compose is built" make -C stamps CFLAGS="-Wall -Wextra -Werror $sanitizers"
LD_LIBRARY_PATH=$libdir stamps/compose data made 4 64 >out 2>err
[ $? -eq 0 ]; report $? "compose composes"
[ "$(find made/train/images made/train/masks -name '*.png' | wc -l)" -eq 8 ]; report $? "a mask a picture"
[ "$(find made/val -name '*.png' | wc -l)" -eq 2 ]; report $? "a quarter for validation"
[ "$(tr '\n' ' ' <made/classes.txt)" = "background disc square " ]; report $? "and the names of the classes"

# C++ programs may include the headers, too
if command -v c++ >/dev/null; then
    printf '#include <tl/tl.h>\n#include <tl/backend.h>\nint main() { return tl_version() == nullptr; }\n' >plus.cc
    check "the headers are C++, too" sh -c "c++ -std=c++11 -Wall -Wextra -Werror $sanitizers \$(pkg-config --cflags libtl) -o plus plus.cc \$(pkg-config --libs libtl)"
fi
finish
