# The OpenCL backend under faults: wrong drivers, failing calls, damaged caches. Its objects are here a second time, as a
# library whose parts a test can replace.
EXTRA_DIST += %reldir%/drivers.sh %reldir%/calls_gpu.sh %reldir%/oclgrind_lanes.c
if TL_OPENCL_PLUGIN
check_LTLIBRARIES += libtl-test-opencl.la
libtl_test_opencl_la_SOURCES = $(OPENCL_SOURCES)
nodist_libtl_test_opencl_la_SOURCES = backends/opencl/sources.c
libtl_test_opencl_la_CPPFLAGS = $(OPENCL_CPPFLAGS) -DTL_BACKEND_BUILTIN
TL_FAULTS_LDADD = libtl-test-ops.la libtl-cpu.la libtl-test-opencl.la $(CLBLAST_LIBS) $(OPENCL_LIBS)

TL_FAULTS_TESTS = %reldir%/gemm %reldir%/canary %reldir%/step %reldir%/calls %reldir%/cache %reldir%/fork
check_PROGRAMS += $(TL_FAULTS_TESTS)
TESTS += $(TL_FAULTS_TESTS) %reldir%/calls_gpu.sh %reldir%/drivers.sh
%canon_reldir%_gemm_CPPFLAGS = $(OPENCL_CPPFLAGS)
%canon_reldir%_gemm_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_gemm_LDADD = $(TL_FAULTS_LDADD)
%canon_reldir%_canary_SOURCES = %reldir%/canary.c %reldir%/cl_shim.h %reldir%/cl_shim.c
%canon_reldir%_canary_CPPFLAGS = $(OPENCL_CPPFLAGS)
%canon_reldir%_canary_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_canary_LDADD = $(TL_FAULTS_LDADD)

# These link libtl and load the plugin, whose calls the shim sees because the program exports them.
TL_FAULTS_SHIM = %reldir%/cl_shim.h %reldir%/cl_shim.c %reldir%/training.h %reldir%/training.c
%canon_reldir%_step_SOURCES = %reldir%/step.c $(TL_FAULTS_SHIM)
%canon_reldir%_step_CPPFLAGS = $(OPENCL_CPPFLAGS)
%canon_reldir%_step_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_step_LDFLAGS = -export-dynamic
%canon_reldir%_step_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_calls_SOURCES = %reldir%/calls.c $(TL_FAULTS_SHIM)
%canon_reldir%_calls_CPPFLAGS = $(OPENCL_CPPFLAGS)
%canon_reldir%_calls_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_calls_LDFLAGS = -export-dynamic
%canon_reldir%_calls_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_cache_SOURCES = %reldir%/cache.c $(TL_FAULTS_SHIM)
%canon_reldir%_cache_CPPFLAGS = $(OPENCL_CPPFLAGS)
%canon_reldir%_cache_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_cache_LDFLAGS = -export-dynamic
%canon_reldir%_cache_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_fork_SOURCES = %reldir%/fork.c %reldir%/training.h
%canon_reldir%_fork_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_fork_LDADD = $(TL_TEST_LDADD)

# Drivers that misbehave.
check_LTLIBRARIES += %reldir%/icd_abort.la %reldir%/icd_hang.la
%canon_reldir%_icd_abort_la_SOURCES = %reldir%/icd.c
%canon_reldir%_icd_abort_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
%canon_reldir%_icd_hang_la_SOURCES = %reldir%/icd.c
%canon_reldir%_icd_hang_la_CPPFLAGS = $(AM_CPPFLAGS) -DICD_HANGS
%canon_reldir%_icd_hang_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
endif
