# TL_BUILTIN_BACKEND(STEM): links backends/STEM into libtl; its folder's local.mk adds the objects, its source
# declares TL_BACKEND_ENTRY(STEM).
AC_DEFUN([TL_BUILTIN_BACKEND], [tl_builtin_backends="$tl_builtin_backends X($1)"])

# TL_BACKENDS: hands the list to libtl/core/registry.c. After all TL_BUILTIN_BACKEND.
AC_DEFUN([TL_BACKENDS], [
  AC_DEFINE_UNQUOTED([TL_BUILTIN_BACKENDS(X)], [$tl_builtin_backends], [X(stem) for each backend that is built in.])
])
