# TL_OPENCL: --enable-opencl=plugin|builtin|no. Without the option it is a plugin where the OpenCL headers and loader are
# found, and left out where not. CLBlast is used where it is found.
AC_DEFUN([TL_OPENCL], [
  AC_ARG_ENABLE([opencl],
    [AS_HELP_STRING([--enable-opencl=plugin|builtin|no], [OpenCL backend @<:@plugin, where OpenCL is found@:>@])],
    [], [enable_opencl=auto])
  AS_CASE([$enable_opencl],
    [yes], [enable_opencl=plugin],
    [auto|plugin|builtin|no], [],
    [AC_MSG_ERROR([--enable-opencl=$enable_opencl: it takes plugin, builtin or no])])
  tl_opencl_found=no
  AS_IF([test "$enable_opencl" != no], [
    PKG_CHECK_MODULES([OPENCL], [OpenCL], [tl_opencl_found=yes], [
      AC_CHECK_HEADER([CL/cl.h], [
        AC_CHECK_LIB([OpenCL], [clGetPlatformIDs], [tl_opencl_found=yes; OPENCL_LIBS=-lOpenCL])])])
    AS_CASE([$tl_opencl_found:$enable_opencl],
      [no:auto], [enable_opencl=no],
      [no:*], [AC_MSG_ERROR([--enable-opencl=$enable_opencl: the OpenCL headers and ICD loader are not found])],
      [yes:auto], [enable_opencl=plugin])
  ])
  tl_clblast=no
  AS_IF([test "$enable_opencl" != no], [
    AC_CHECK_HEADER([clblast_c.h], [
      AC_CHECK_LIB([clblast], [CLBlastSgemmWithTempBuffer], [tl_clblast=yes], [], [$OPENCL_LIBS])])
  ])
  AS_IF([test "$tl_clblast" = yes], [
    CLBLAST_LIBS=-lclblast
    AC_DEFINE([HAVE_CLBLAST], [1], [Matrix products may be CLBlast's.])])
  AC_SUBST([CLBLAST_LIBS])
  AC_SUBST([OPENCL_LIBS])
  AC_SUBST([OPENCL_CFLAGS])
  TL_OPENCL_HOW=$enable_opencl
  AC_SUBST([TL_OPENCL_HOW])
  AM_CONDITIONAL([TL_OPENCL_PLUGIN], [test "$enable_opencl" = plugin])
  AM_CONDITIONAL([TL_OPENCL_BUILTIN], [test "$enable_opencl" = builtin])
  AS_IF([test "$enable_opencl" = builtin], [TL_BUILTIN_BACKEND([opencl])])
  tl_opencl_text=$enable_opencl
  AS_IF([test "$enable_opencl" != no], [tl_opencl_text="$enable_opencl, CLBlast: $tl_clblast"])
])
