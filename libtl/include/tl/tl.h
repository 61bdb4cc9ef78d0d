/* tl/tl.h: all of libtl for programs that embed it. (Backends include tl/backend.h instead.)
 *
 * A whole fine-tuning job is: tl_context_create, tl_device_open, tl_dataset_open, tl_model_create,
 * tl_model_load_weights, tl_train, tl_model_save; examples/embed/finetune.c is that program.
 *
 * Every structure that is passed in begins with its size: set it to sizeof, or let the tl_..._init function do so.
 * That is how old programs go on working when structures grow. */
#ifndef TL_TL_H
#define TL_TL_H

#include <tl/augment.h>
#include <tl/bench.h>
#include <tl/context.h>
#include <tl/dataset.h>
#include <tl/device.h>
#include <tl/features.h>
#include <tl/image.h>
#include <tl/metrics.h>
#include <tl/model.h>
#include <tl/segment.h>
#include <tl/selftest.h>
#include <tl/status.h>
#include <tl/train.h>
#include <tl/tune.h>
#include <tl/version.h>
#include <tl/weights.h>

#endif
