#!/bin/sh
# embed.sh FILE.cl...: C source on standard output that holds OpenCL sources as strings, by their stems, for
# backends/opencl/opencl.h. Each line of a .cl file becomes one line of the string; compilers then name file and line.
set -eu
echo '#include "backends/opencl/opencl.h"'
echo
echo 'const opencl_source tl__opencl_sources[] = {'
for file; do
    stem=$(basename "$file" .cl)
    printf '    {"%s",\n     "#line 1 \\"%s.cl\\"\\n"\n' "$stem" "$stem"
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/     "/' -e 's/$/\\n"/' "$file"
    echo '    },'
done
echo '    {NULL, NULL},'
echo '};'
