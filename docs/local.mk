# Manual pages. The table in tl.ini.5 comes from the program's own; `make update-ini-man` writes it anew.
dist_man_MANS += %reldir%/tl.1 %reldir%/tl.ini.5 %reldir%/libtl.3 %reldir%/tl-backends.7
EXTRA_DIST += %reldir%/segment.png

.PHONY: update-ini-man
update-ini-man: tests/cli/keys$(EXEEXT)
	$(AM_V_GEN)page=$(srcdir)/docs/tl.ini.5; \
	{ sed '/^\.\\" The table/q' $$page; tests/cli/keys$(EXEEXT); sed -n '/^\.\\" The end of the table/,$$p' $$page; } \
		>tl.ini.5.new && mv tl.ini.5.new $$page
