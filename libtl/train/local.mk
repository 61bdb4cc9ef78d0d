libtl_all_la_SOURCES += %reldir%/engine.h %reldir%/engine.c %reldir%/calibrate.h %reldir%/calibrate.c %reldir%/store.h %reldir%/store.c %reldir%/runner.h \
	%reldir%/runner.c %reldir%/predictor.c %reldir%/trainer.h %reldir%/trainer.c %reldir%/stage.c %reldir%/features.h \
	%reldir%/features.c %reldir%/feature_key.h %reldir%/feature_key.c %reldir%/extract.h %reldir%/extract.c \
	%reldir%/extract_save.c %reldir%/train.c %reldir%/evaluate.h %reldir%/evaluate.c %reldir%/proof.h %reldir%/proof.c \
	%reldir%/fit.c %reldir%/judge.h %reldir%/judge.c %reldir%/label.c %reldir%/metrics.c %reldir%/patch.h %reldir%/patch.c \
	%reldir%/segmenter.c %reldir%/tiles.h %reldir%/tiles.c %reldir%/whole.h %reldir%/whole.c %reldir%/whole_cache.h %reldir%/whole_cache.c \
	%reldir%/rows.h %reldir%/rows.c %reldir%/score.h %reldir%/score.c %reldir%/bench.c %reldir%/tune.c
