# The registry of backends, with a backend that misbehaves on demand. fake.la becomes a module that is loaded as an
# installed one would be: -rpath makes libtool build it shared.
check_LTLIBRARIES += %reldir%/fake.la libtl-test-plugin.la
%canon_reldir%_fake_la_SOURCES = %reldir%/fake.h %reldir%/fake.c %reldir%/fake_kernel.c \
	%reldir%/fake_ops.c %reldir%/fake_queue.c %reldir%/fake_tune.c
%canon_reldir%_fake_la_CFLAGS = $(AM_CFLAGS)
%canon_reldir%_fake_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere

libtl_test_plugin_la_SOURCES = %reldir%/harness.h %reldir%/harness.c
libtl_test_plugin_la_CFLAGS = $(TL_TEST_CFLAGS)

TL_PLUGIN_TESTS = %reldir%/abi %reldir%/registry %reldir%/device %reldir%/placement \
	%reldir%/selftest %reldir%/fallback %reldir%/memory
check_PROGRAMS += $(TL_PLUGIN_TESTS)
TESTS += $(TL_PLUGIN_TESTS) %reldir%/setuid.sh %reldir%/outside.sh
EXTRA_DIST += %reldir%/setuid.sh %reldir%/outside.sh

%canon_reldir%_registry_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_registry_LDADD = libtl-test-plugin.la $(TL_TEST_LDADD)
%canon_reldir%_abi_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_abi_LDADD = libtl-test-plugin.la $(TL_TEST_LDADD)
%canon_reldir%_device_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_device_LDADD = libtl-test-plugin.la $(TL_TEST_LDADD)
%canon_reldir%_placement_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_placement_LDADD = libtl-test-plugin.la $(TL_TEST_LDADD)
%canon_reldir%_fallback_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_fallback_LDADD = libtl-test-plugin.la $(TL_TEST_LDADD)
%canon_reldir%_memory_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_memory_LDADD = libtl-test-plugin.la $(TL_TEST_LDADD)
%canon_reldir%_selftest_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_selftest_LDADD = libtl-test-plugin.la $(TL_TEST_LDADD)

# Both install from this tree, which relinks in it.
%reldir%/outside.log: tests/cli/embed.log
