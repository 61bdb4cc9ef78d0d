# The OpenCL backend under faults: wrong drivers, failing calls, damaged caches. Its objects are here a second time, as a
# library whose parts a test can replace.
if TL_OPENCL_PLUGIN
check_LTLIBRARIES += libtl-test-opencl.la
libtl_test_opencl_la_SOURCES = $(OPENCL_SOURCES)
nodist_libtl_test_opencl_la_SOURCES = backends/opencl/sources.c
libtl_test_opencl_la_CPPFLAGS = $(OPENCL_CPPFLAGS) -DTL_BACKEND_BUILTIN
TL_FAULTS_LDADD = libtl-test-ops.la libtl-cpu.la libtl-test-opencl.la $(CLBLAST_LIBS) $(OPENCL_LIBS)

TL_FAULTS_TESTS = %reldir%/gemm
check_PROGRAMS += $(TL_FAULTS_TESTS)
TESTS += $(TL_FAULTS_TESTS)
%canon_reldir%_gemm_CPPFLAGS = $(OPENCL_CPPFLAGS)
%canon_reldir%_gemm_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_gemm_LDADD = $(TL_FAULTS_LDADD)
endif
