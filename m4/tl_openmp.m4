# TL_OPENMP: OpenMP for the CPU backend, on where found; without it the backend runs on one thread.
AC_DEFUN([TL_OPENMP], [
  AC_OPENMP
  tl_openmp_text="OpenMP ($OPENMP_CFLAGS)"
  AS_IF([test -z "$OPENMP_CFLAGS"], [
    AS_IF([test "$enable_openmp" = yes], [AC_MSG_ERROR([OpenMP was asked for and is not there])])
    tl_openmp_text="nothing: one thread"
  ])
])
