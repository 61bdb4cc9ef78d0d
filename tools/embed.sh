#!/bin/sh
# embed.sh FILE.cl...: C source on standard output that holds OpenCL sources as strings, by their stems, for
# backends/opencl/opencl.h. Each line of a .cl file becomes one line of the string; compilers then name file and line.
# A line `#include "NAME.cl"` is replaced by that file, which lies beside the other: drivers know no folders.
set -eu
echo '#include "backends/opencl/opencl.h"'
echo
echo 'const opencl_source tl__opencl_sources[] = {'
for file; do
    awk -v folder="$(dirname "$file")" -v name="$(basename "$file")" '
        function embed(name, path, line, number, included) {
            path = folder "/" name
            printf "     \"#line 1 \\\"%s\\\"\\n\"\n", name
            while ((number = (getline line < path)) > 0) {
                included = line
                if (sub(/^#include "/, "", included) && sub(/\.cl"$/, ".cl", included)) {
                    count[name]++
                    embed(included)
                    printf "     \"#line %d \\\"%s\\\"\\n\"\n", count[name] + 1, name
                    continue
                }
                count[name]++
                gsub(/\\/, "&&", line)
                gsub(/"/, "\\\\&", line)
                printf "     \"%s\\n\"\n", line
            }
            close(path)
            if (number < 0) {
                print "embed.sh: " path " cannot be read" > "/dev/stderr"
                exit 1
            }
        }
        BEGIN {
            stem = name
            sub(/\.cl$/, "", stem)
            printf "    {\"%s\",\n", stem
            embed(name)
            print "    },"
        }'
done
echo '    {NULL, NULL},'
echo '};'
