# TL_WARNINGS: our own flags in TL_CFLAGS; the user's CFLAGS stay the user's. --enable-werror for our CI.
AC_DEFUN([TL_WARNINGS], [
  AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [warnings are errors])], [], [enable_werror=no])
  TL_CFLAGS="-std=gnu11 -fvisibility=hidden -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wno-psabi"
  AS_IF([test "$enable_werror" = yes], [TL_CFLAGS="$TL_CFLAGS -Werror"])
  AC_SUBST([TL_CFLAGS])
])
